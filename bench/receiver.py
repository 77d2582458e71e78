"""The receiver against a bare aiohttp handler that reads the body and answers 200, in one run: `python -m bench.receiver`.

Both servers are processes pinned to one core and are loaded in turn, A B A B, by a third process pinned to the other core: raw
sockets that keep 64 connections busy with signed orders of 5 kB, each delivery with an id of its own. The bar (DESIGN, 'Numbers to
hold'): at least 0.40 of the bare handler with the SQLite log, 0.55 with HMAC and decoding alone, p99 at most 25 ms. CPU per request
is the server's own (user and system, all threads), which a busy machine disturbs least.
"""

import argparse
import asyncio
import base64
import hmac
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

from aiohttp import web
from prometheus_client import CollectorRegistry

from ingest.app import make_app
from ingest.body import Limits
from stream.metrics import ReceiverMetrics
from stream.record import Record
from stream.sqlite_log import SqliteLog

SHOP = "bench.myshopify.com"
SECRET = b"bench-secret"
SERVERS = ("bare", "verify", "sqlite")
WHAT = {"bare": "read body, 200", "verify": "+ HMAC + decode", "sqlite": "+ SQLite log, durable"}
SERVER_CORE, LOAD_CORE = 0, 1


def order_body(size_bytes: int = 5_000) -> bytes:
    """An `orders/create` body as Shopify writes it, with as many line items as make it about `size_bytes` long."""

    def money(amount: str) -> dict[str, object]:
        each = {"amount": amount, "currency_code": "USD"}
        return {"shop_money": each, "presentment_money": each}

    def item(number: int) -> dict[str, object]:
        return {
            "id": 866550311766439020 + number,
            "admin_graphql_api_id": f"gid://shopify/LineItem/{866550311766439020 + number}",
            "name": f"Merino socks, pair {number}",
            "price": "19.99",
            "price_set": money("19.99"),
            "product_id": 7513594 + number,
            "properties": [{"name": "gift", "value": "no"}],
            "quantity": 2,
            "sku": f"SOCK-{number:04}",
            "tax_lines": [{"price": "1.60", "rate": 0.08, "title": "VAT", "price_set": money("1.60")}],
            "total_discount_set": money("0.00"),
        }

    order: dict[str, object] = {
        "id": 820982911946154508,
        "admin_graphql_api_id": "gid://shopify/Order/820982911946154508",
        "browser_ip": "203.0.113.7",
        "cart_token": "c1-7a9e",
        "checkout_token": "bd5a8aa1ecd019dd3520ff791ee3a24c",
        "client_details": {"accept_language": "en", "browser_ip": "203.0.113.7", "user_agent": "Mozilla/5.0"},
        "created_at": "2026-11-22T10:01:02-05:00",
        "currency": "USD",
        "current_total_price_set": money("431.88"),
        "customer": {"id": 115310627314723954, "email": "buyer@example.com", "first_name": "Ada", "state": "disabled"},
        "email": "buyer@example.com",
        "financial_status": "paid",
        "landing_site": "/?fbclid=IwAR0abc",
        "note_attributes": [{"name": "_fbp", "value": "fb.1.1700000000000.1234567890"}],
        "processed_at": "2026-11-22T10:01:01-05:00",
        "shipping_address": {"city": "Paris", "country_code": "FR", "first_name": "Ada", "zip": "75001"},
        "total_price": "431.88",
        "updated_at": "2026-11-22T10:01:03-05:00",
        "line_items": [],
    }
    items: list[dict[str, object]] = []
    while len(json.dumps(order, separators=(",", ":"))) < size_bytes - 400:
        items.append(item(len(items)))
        order["line_items"] = items
    return json.dumps(order, separators=(",", ":")).encode()


# --- the servers -----------------------------------------------------------------------------------------------------------------


class _Nowhere:
    """A log that keeps nothing: what is left is the receiver's own work."""

    async def append(self, records: Sequence[Record]) -> None:
        return None


async def _bare(request: web.Request) -> web.Response:
    await request.read()
    return web.Response()


def _receiver(log: _Nowhere | SqliteLog) -> web.Application:
    return make_app(
        log=log,
        shops={SHOP: [SECRET]},
        clock=lambda: time.time_ns() // 1_000_000,
        limits=Limits(),
        metrics=ReceiverMetrics(CollectorRegistry()),
    )


async def serve(kind: str, folder: Path) -> None:
    """Serve one of `SERVERS` on a free port, which is printed, until standard input ends."""
    log: SqliteLog | None = None
    if kind == "bare":
        app = web.Application(handler_args={"access_log": None})
        app.router.add_post("/webhooks/shopify", _bare)
    elif kind == "verify":
        app = _receiver(_Nowhere())
    else:
        log = await SqliteLog.open(folder / "log.db")
        app = _receiver(log)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()
    if log is not None:
        await log.close()


# --- the load --------------------------------------------------------------------------------------------------------------------


class _Client(asyncio.Protocol):
    """One connection that sends the next delivery as soon as the last is answered."""

    def __init__(self, load: "_Load") -> None:
        self.load = load
        self.sent_s = 0.0
        self.answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods only
        self.send()

    def send(self) -> None:
        self.sent_s = time.perf_counter()
        self.transport.write(self.load.next_request())

    def data_received(self, data: bytes) -> None:
        self.answer += data
        if b"\r\n\r\n" not in self.answer:
            return
        self.load.answered(time.perf_counter() - self.sent_s, self.answer[9:12])
        self.answer = b""
        if time.perf_counter() < self.load.until_s:
            self.send()
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.load.gone()


class _Load:
    def __init__(self, seconds: float, connections: int, name: str) -> None:
        body = order_body()
        signature = base64.b64encode(hmac.digest(SECRET, body, "sha256")).decode()
        self.head = (
            f"POST /webhooks/shopify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nUser-Agent: Shopify-Captain-Hook\r\nAccept: */*\r\n"
            f"X-Shopify-Topic: orders/create\r\nX-Shopify-Hmac-Sha256: {signature}\r\n"
            f"X-Shopify-Shop-Domain: {SHOP}\r\nX-Shopify-API-Version: 2026-10\r\n"
            f"X-Shopify-Triggered-At: 2026-11-22T15:01:03.123456789Z\r\nX-Shopify-Event-Id: 98880550-7158\r\n"
            f"X-Shopify-Webhook-Id: {name}-"
        ).encode()
        self.body = body
        self.number = 0
        self.seconds = seconds
        self.connections = connections
        self.latencies_s: list[float] = []
        self.refused = 0
        self.open = connections

    def next_request(self) -> bytes:
        self.number += 1
        return b"%b%08d\r\n\r\n%b" % (self.head, self.number, self.body)

    def answered(self, latency_s: float, status: bytes) -> None:
        if status == b"200":
            self.latencies_s.append(latency_s)
        else:
            self.refused += 1

    def gone(self) -> None:
        self.open -= 1
        if not self.open:
            self.over.set_result(None)

    async def run(self, port: int) -> dict[str, float]:
        loop = asyncio.get_running_loop()
        self.over = loop.create_future()
        began_s = time.perf_counter()
        self.until_s = began_s + self.seconds
        for _ in range(self.connections):
            await loop.create_connection(lambda: _Client(self), "127.0.0.1", port)
        await self.over
        took_s = time.perf_counter() - began_s
        ordered = sorted(self.latencies_s)
        return {
            "requests": len(ordered),
            "refused": self.refused,
            "per_s": len(ordered) / took_s,
            "p50_ms": 1e3 * ordered[len(ordered) // 2],
            "p99_ms": 1e3 * ordered[len(ordered) * 99 // 100],
        }


# --- the run ---------------------------------------------------------------------------------------------------------------------


class Round(NamedTuple):
    """What one server did under one load; times in the named unit, CPU of the server process only."""

    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    refused: float


def _cpu_s(pid: int) -> float:
    """User and system seconds of process `pid`, all its threads (proc(5), stat, fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _child(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.receiver", *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


async def run(*, seconds: float, rounds: int, connections: int, folder: Path, kinds: Sequence[str] = SERVERS) -> dict[str, list[Round]]:
    """Load every server `rounds` times for `seconds` each, in turn. Rounds by name of the server."""
    servers = {kind: await _child("--serve", kind, "--folder", str(folder)) for kind in kinds}
    results: dict[str, list[Round]] = {kind: [] for kind in kinds}
    try:
        ports = {}
        for kind, server in servers.items():
            assert server.stdout is not None
            ports[kind] = (await server.stdout.readline()).decode().strip()
            if not ports[kind]:
                raise SystemExit(f"the {kind} server did not start")
        for number in range(-1, rounds):  # round -1 warms up
            for kind, server in servers.items():
                before_s = _cpu_s(server.pid)
                load = await _child(
                    "--load", ports[kind], "--seconds", str(seconds if number >= 0 else 0.5),
                    "--connections", str(connections), "--name", f"{kind}-{number}",
                )  # fmt: skip
                told = json.loads((await load.communicate())[0])
                cpu_us = 1e6 * (_cpu_s(server.pid) - before_s) / (told["requests"] + told["refused"])
                if number >= 0:
                    results[kind].append(Round(told["per_s"], told["p50_ms"], told["p99_ms"], cpu_us, told["refused"]))
    finally:
        for server in servers.values():
            assert server.stdin is not None
            server.stdin.close()
            await server.wait()
    return results


def report(results: dict[str, list[Round]]) -> None:
    """Print medians over the rounds, and each server's ratio to the bare handler of the same round: by requests and by CPU."""
    print(f"{'receiver':<24}{'req/s':>9}{'ratio':>8}{'cpu us':>9}{'by cpu':>8}{'p50 ms':>9}{'p99 ms':>9}{'refused':>9}")
    for kind, rounds in results.items():
        pairs = list(zip(rounds, results["bare"], strict=True))
        ratio = statistics.median(own.per_s / bare.per_s for own, bare in pairs)
        by_cpu = statistics.median(bare.cpu_us / own.cpu_us for own, bare in pairs)
        per_s, p50_ms, p99_ms, cpu_us, _ = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(
            f"{WHAT[kind]:<24}{per_s:>9.0f}{ratio:>8.2f}{cpu_us:>9.1f}{by_cpu:>8.2f}{p50_ms:>9.1f}{p99_ms:>9.1f}"
            f"{sum(each.refused for each in rounds):>9.0f}"
        )


def main() -> None:
    """The comparison; `--serve` and `--load` are its own children."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--servers", nargs="*", choices=SERVERS, default=SERVERS)
    parser.add_argument("--serve", choices=SERVERS)
    parser.add_argument("--load", type=int, metavar="PORT")
    parser.add_argument("--name", default="load")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        if options.serve:
            _pin(SERVER_CORE)
            runner.run(serve(options.serve, options.folder))
        elif options.load:
            _pin(LOAD_CORE)
            load = _Load(options.seconds, options.connections, options.name)
            print(json.dumps(runner.run(load.run(options.load))))
        else:
            with tempfile.TemporaryDirectory() as temporary:
                folder = options.folder or Path(temporary)
                print(
                    f"{options.connections} connections, {len(order_body())} B body, "
                    f"{options.rounds} rounds of {options.seconds} s; "
                    f"servers on core {SERVER_CORE}, load on core {LOAD_CORE} of {os.cpu_count()}; "
                    f"load average {os.getloadavg()[0]:.1f}; log in {folder}"
                )
                report(
                    runner.run(
                        run(
                            seconds=options.seconds,
                            rounds=options.rounds,
                            connections=options.connections,
                            folder=folder,
                            kinds=options.servers,
                        )
                    )
                )


def _pin(core: int) -> None:
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > core:
        os.sched_setaffinity(0, {core})


def _loop_factory() -> "type[asyncio.AbstractEventLoop] | None":
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop


if __name__ == "__main__":
    main()
