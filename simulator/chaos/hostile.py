"""A run with hostile clients: a legitimate shop sends at a rate beside them, and every delivery of
its own must be answered 200 at the first attempt, within a bar."""

import asyncio
import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from simulator.chaos.healthy import until_healthy
from simulator.chaos.installation import Installation, Shop
from simulator.chaos.plan import Pair
from simulator.demo.screen import print_plain, result
from simulator.proof.sums import Differences
from simulator.proof.verify import Check
from simulator.shop.sender import ShopSender, Traffic
from simulator.shop.shop import ShopSimulator

DISK_MB = 1_024
BEGIN_S = 3.0
"""The attackers have their connections by then."""
LOOK_S = 1.0


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for."""

    minutes: float = 5.0
    seed: int = 1
    pair: Pair = Pair.SQLITE
    rate: float = 50.0
    """Legitimate deliveries a second."""
    connections: int = 3_000
    """Of the attackers."""
    p99_ms: float = 500.0
    patience_s: float = 240.0


async def hostile(options: Options, folder: Path, console: Console) -> int:
    """One run in `folder`; 0 where every legitimate delivery was answered 200 in time, else 1."""
    seconds = options.minutes * 60
    async with Installation(folder, options.pair, options.seed, DISK_MB, trouble=False) as there:
        print_plain(
            console,
            f"hostile clients on {options.pair} for {options.minutes:g} min, seed {options.seed}: "
            f"{options.connections:,} connections beside {options.rate:g} deliveries/s, "
            f"in {folder}",
        )
        there.launch()
        await until_healthy(there, options.patience_s)
        calm = await _send(there, there.shops[0], options, seconds=min(10.0, seconds / 3), seed=1)
        attackers = await _attackers(there, options, seconds + BEGIN_S)
        largest_mb = 0.0
        try:
            await asyncio.sleep(BEGIN_S)
            sending = asyncio.create_task(
                _send(there, there.shops[1], options, seconds=seconds, seed=2)
            )
            while not sending.done():
                await asyncio.wait([sending], timeout=LOOK_S)
                largest_mb = max(largest_mb, _resident_mb(there))
            traffic = await sending
            printed, _ = await attackers.communicate()
        finally:
            if attackers.returncode is None:
                attackers.kill()
                await attackers.wait()
        for kind, answers in sorted(orjson.loads(printed)["answers"].items()):
            counts = ", ".join(f"{times:,} x {answer}" for answer, times in sorted(answers.items()))
            print_plain(console, f"  {kind}: {counts}")
        print_plain(console, f"receiver's resident memory at most {largest_mb:.0f} MB")
        for name, one in (("alone", calm), ("beside them", traffic)):
            print_plain(console, f"legitimate, {name}: {_said(one)}")
        checks = [
            Check(
                "every legitimate delivery answered 200", len(traffic.acknowledged), _all(traffic)
            ),
            Check(f"p99 at most {options.p99_ms:g} ms", 1, _late(traffic, options.p99_ms)),
            Check("serve ends in order", 1, await _ended(there)),
        ]
        console.print(result(checks))
        wrong = sum(bool(check.differences) for check in checks)
        print_plain(console, f"{wrong} of {len(checks)} failed" if wrong else "all right")
        return int(wrong > 0)


async def _send(
    there: Installation, shop: Shop, options: Options, *, seconds: float, seed: int
) -> Traffic:
    simulator = ShopSimulator(seed, shop.domain, shop.secret, there.now, 300, zone=there.zone)
    deliveries = islice(simulator.stream(there.now, options.rate), round(seconds * options.rate))
    sender = ShopSender(
        f"{there.receiver}/webhooks/shopify",
        deliveries,
        rate=options.rate,
        connections=16,
        retry_wait_s=(),
    )
    return await sender.run()


async def _attackers(
    there: Installation, options: Options, seconds: float
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "simulator.chaos.attackers"),
        f"--port={there.receiver.rpartition(':')[2]}",
        f"--shop={there.shops[1].domain}",
        f"--seconds={seconds}",
        f"--connections={options.connections}",
        f"--seed={options.seed}",
        stdout=asyncio.subprocess.PIPE,
    )


def _resident_mb(there: Installation) -> float:
    """Of the receiver."""
    for pid, role in there.pids().items():
        if role == "receive":
            try:
                pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            except (OSError, IndexError):
                return 0.0
            return pages * 4096 / (1 << 20)
    return 0.0


async def _ended(there: Installation) -> Differences:
    code = await there.stop()
    return [f"exit code {code}"] if code else []


def _all(traffic: Traffic) -> Differences:
    others = {status: times for status, times in traffic.statuses.items() if status != 200}
    return [f"{times} answered {status or 'not at all'}" for status, times in others.items()]


def _late(traffic: Traffic, p99_ms: float) -> Differences:
    p99 = traffic.percentile(0.99)
    return [] if p99 is not None and p99 <= p99_ms else [f"p99 {p99} ms"]


def _said(traffic: Traffic) -> str:
    summary: Any = traffic.summary()
    latency = ", ".join(f"{name} {ms} ms" for name, ms in summary["latency_ms"].items())
    return f"{summary['statuses']}, {latency}"
