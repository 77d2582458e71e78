"""Resident memory of a whole `serve` on SQLite with 1,000,000 customers, answering `/v1/rfm` while
500 orders/s arrive. Run: python -m bench.serving.memory [customers] [seconds]

Bar: 250 MB (docs/architecture.md, "Numbers to hold") for the sum over supervisor and roles of PSS
(proc(5), smaps_rollup), which counts a shared page once. Other processes on the machine share
libraries too, so a last line shows what `serve` would have without them.
"""

import asyncio
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from bench.serving.rfm_query import (
    EVENTS_PER_S,
    SHOP,
    TODAY,
    ask,
    customer_id,
    report,
    simulate,
    write,
)
from orderwire.settings.program import child_environment
from simulator.servers.broker import free_port
from simulator.servers.serve import role_of
from simulator.shop.delivery import Delivery, signed
from simulator.shop.mix import Mix
from simulator.shop.sender import ShopSender
from simulator.shop.shop import ShopSimulator
from stream.store.sql.store import SqlStore

SECRET: Final = "bench-secret"
PIXEL: Final = "1234567890"
ORDERWIRE: Final = str(Path(sys.executable).with_name("orderwire"))
EVERY_S: Final = 2.0
START_S: Final = 60.0


class Resident(NamedTuple):
    """A process's memory, MB."""

    pss: float
    rss: float
    anonymous: float
    """What is its own: heap, stacks, arrays."""


def roles(supervisor: int) -> dict[str, int]:
    """Process ids by role; the supervisor and whatever roles start are under names of their own."""
    found = {"supervisor": supervisor}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            session = int(entry.joinpath("stat").read_text().rpartition(")")[2].split()[3])
            role = role_of(entry) or "beside"
        except OSError:
            continue
        if session == supervisor and int(entry.name) != supervisor:
            found[role if role not in found else f"{role} {entry.name}"] = int(entry.name)
    return found


def resident(pids: dict[str, int]) -> dict[str, Resident]:
    """Memory by role, of those that still live."""
    shown = {}
    for role, pid in pids.items():
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
        except OSError:
            continue
        kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
        shown[role] = Resident(*(kilobytes[name] / 1024 for name in ("Pss", "Rss", "Anonymous")))
    return shown


def alone(pids: dict[str, int]) -> float:
    """MB of all anonymous pages of these processes and of their files, each file once."""
    anonymous, files = 0, dict[str, int]()
    for pid in pids.values():
        own, name = dict[str, int](), ""
        for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
            words = line.split()
            if not words[0].endswith(":"):
                name = words[5] if len(words) > 5 else ""
            elif words[0] == "Rss:":
                own[name] = own.get(name, 0) + int(words[1])
            elif words[0] == "Anonymous:":
                own[name] -= int(words[1])
                anonymous += int(words[1])
        files = {name: max(files.get(name, 0), own.get(name, 0)) for name in {*files, *own}}
    return (anonymous + sum(files.values())) / 1024


def deliveries(customers: int) -> Iterator[Delivery]:
    """Without end, paid orders of today; every other one of a customer of the store, the others of
    customers new to it."""
    now, random = datetime.now(UTC), Random(7)
    shop = ShopSimulator(1, SHOP, SECRET.encode(), now, 200, mix=Mix.orders_only())
    templates = []
    for delivery in islice(shop.stream(now, 50.0), 500):
        customer = delivery.body.partition(b'"customer":{"id":')[2].partition(b",")[0]
        checkout = delivery.body.partition(b'"checkout_token":"')[2].partition(b'"')[0]
        assert customer.isdigit()
        assert checkout
        templates.append((delivery, customer, checkout))
    number = 0
    while True:
        for delivery, customer, checkout in templates:
            number += 1
            who = random.randrange(customers) if number % 2 else customers + number
            order, fresh = f"{8_000_000_000_000 + number}", f"{random.getrandbits(128):032x}"
            body = delivery.body.replace(delivery.key.encode(), order.encode()).replace(
                checkout, fresh.encode()
            )
            body = body.replace(customer, customer_id(who).encode())
            yield signed(
                delivery.topic,
                body,
                shop=SHOP,
                secret=SECRET.encode(),
                webhook_id=fresh,
                event_id=fresh,
                triggered=delivery.triggered_at,
                key=order,
            )


async def send(url: str, customers: int) -> None:
    """`EVENTS_PER_S` until SIGTERM."""
    sender = ShopSender(url, deliveries(customers), connections=16, rate=float(EVENTS_PER_S))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, sender.stop)
    print((await sender.run()).summary()["statuses"], flush=True)


@contextmanager
def child(
    command: Sequence[str], folder: Path, name: str, **variables: str
) -> Iterator["subprocess.Popen[str]"]:
    """A process that is asked to end with the block; its errors are in `folder`."""
    with (folder / f"{name}.log").open("ab") as errors:
        process = subprocess.Popen(
            command,
            env=child_environment(variables),
            text=True,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        shown, _ = process.communicate(timeout=60)
        if name == "load":
            print(f"  answers to webhooks by status: {shown.strip()}")


def fill(path: Path, customers: int) -> None:
    """The store, its last order yesterday or today."""
    orders, today = simulate(customers), int(time.time() // 86_400)
    store = SqlStore.open(f"sqlite:///{path}")
    write(store, orders._replace(day=orders.day + (today - TODAY)), today)
    store.close()


async def measure(supervisor: int, port: int, seconds: float) -> list[dict[str, Resident]]:
    """Ask, and look at memory meanwhile."""
    samples: list[dict[str, Resident]] = []
    asking = asyncio.create_task(ask(port, seconds))
    while not asking.done():
        await asyncio.wait([asking], timeout=EVERY_S)
        samples.append(resident(roles(supervisor)))
    report(f"while {EVENTS_PER_S} orders/s are received", await asking)
    return samples


def shown(samples: Sequence[dict[str, Resident]]) -> None:
    """Print each role's memory at the end, and the largest sum of all samples."""
    last = samples[-1]
    for role, of_role in last.items():
        print(
            f"  {role:<11} PSS {of_role.pss:5.0f} MB   RSS {of_role.rss:5.0f} MB   anonymous "
            f"{of_role.anonymous:5.0f} MB"
        )
    sums = [sum(of_role.pss for of_role in sample.values()) for sample in samples]
    rss, anonymous = (
        sum(getattr(of_role, name) for of_role in last.values()) for name in ("rss", "anonymous")
    )
    print(
        f"  {'serve':<11} PSS {sums[-1]:5.0f} MB   RSS {rss:5.0f} MB   anonymous {anonymous:5.0f} "
        "MB"
    )
    print(
        f"  PSS of serve (bar: 250 MB): median {sorted(sums)[len(sums) // 2]:.0f} MB, most "
        f"{max(sums):.0f} MB of {len(sums)} samples"
    )


async def answers(port: int) -> None:
    """Return once the API does."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    raise AssertionError(f"serve did not answer within {START_S} s")


def main(customers: int = 1_000_000, seconds: float = 60.0) -> None:
    """Fill a store, start `serve` on it, load it, and print what it holds in memory."""
    machine = f"{os.cpu_count()} cores, {platform.machine()}, load before {os.getloadavg()[0]:.1f}"
    print(f"memory of serve: {customers:,} simulated customers, seed fixed; {machine}", flush=True)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        # In a process of its own, which has ended when memory is looked at.
        subprocess.run(
            [
                sys.executable,
                "-m",
                "bench.serving.memory",
                "--fill",
                str(folder / "state.db"),
                str(customers),
            ],
            check=True,
        )
        graph = stack.enter_context(
            child([sys.executable, "-m", "simulator.meta.graph", "--only-ids"], folder, "graph")
        )
        assert graph.stdout is not None
        graph_url = graph.stdout.readline().strip()
        receiver, api = free_port(), free_port()
        (folder / "orderwire.toml").touch()  # instead of one that may lie where this is run
        variables = {
            "ORDERWIRE_LOG_URL": f"sqlite:///{folder}/log.db",
            "ORDERWIRE_STORE_URL": f"sqlite:///{folder}/state.db",
            "ORDERWIRE_RECEIVER": f"127.0.0.1:{receiver}",
            "ORDERWIRE_API": f"127.0.0.1:{api}",
            "ORDERWIRE_CONFIG": f"{folder}/orderwire.toml",
            "SHOPIFY_SHOP": SHOP,
            "SHOPIFY_WEBHOOK_SECRET": SECRET,
            "META_PIXEL_ID": PIXEL,
            "META_ACCESS_TOKEN": "token",
            "META_GRAPH_URL": graph_url,
        }
        serve = stack.enter_context(child([ORDERWIRE, "serve"], folder, "serve", **variables))
        asyncio.run(answers(api))
        url = f"http://127.0.0.1:{receiver}/webhooks/shopify"
        stack.enter_context(
            child(
                [sys.executable, "-m", "bench.serving.memory", "--send", url, str(customers)],
                folder,
                "load",
            )
        )
        shown(asyncio.run(measure(serve.pid, api, seconds)))
        print(f"  with nobody else on the machine: {alone(roles(serve.pid)):.0f} MB")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--fill"]:
        fill(Path(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1:2] == ["--send"]:
        asyncio.run(send(sys.argv[2], int(sys.argv[3])))
    else:
        main(
            int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000,
            float(sys.argv[2]) if len(sys.argv) > 2 else 60.0,
        )
