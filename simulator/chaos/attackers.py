"""Hostile clients of a receiver: compressed bombs, slow headers, idle and half-sent requests, large
bodies in parallel, garbage.

As a program, so that they share no event loop with the legitimate sender:
`python -m simulator.chaos.attackers --port 8081 --shop S --seconds 300 --connections 3000` prints
what each kind did as JSON.
"""

import argparse
import asyncio
import gzip
import resource
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from random import Random

import orjson

MIB = 1 << 20
TRIES_S = 6.0
"""How long an attacker waits for an answer."""
REST_S = 0.2
"""Between two requests of one attacker: none of them works flat out, for their part of the machine
is not the receiver's."""
OPEN_PER_S = 500
"""Connections that the silent ones open, all together."""
MOST = 3_000
"""Connections of a full attack."""
BOMBS, LARGE, GARBAGE, HALVES = 64, 16, 32, 64
"""Attackers of each kind that works by requests, in a full attack: a smaller one has its share of
them. The rest of the connections are silent or slow."""
SLOW_SHARE = 1 / 3
"""Of the other connections: send a byte of a header every second."""

POST = "POST /webhooks/shopify HTTP/1.1\r\nHost: x\r\n"
Attack = Callable[["Attackers", Random], Awaitable[None]]


class Attackers:
    """All kinds at work against one address of loopback."""

    def __init__(self, port: int, shop: str, seed: int) -> None:
        self._port, self._shop, self._seed = port, shop, seed
        self.answers: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """By kind: HTTP statuses, and `cut` where the connection ended without one, `silence`
        where nothing came for `TRIES_S`, `open` for a connection kept open."""
        self._bomb = gzip.compress(bytes(10 * MIB))

    async def run(self, seconds: float, connections: int) -> None:
        """Attack for so long over so many connections."""
        share = min(1.0, connections / MOST)
        bombs, large, garbage, halves = (
            max(1, round(share * full)) for full in (BOMBS, LARGE, GARBAGE, HALVES)
        )
        silent = max(2, connections - bombs - large - garbage - halves)
        slow = int(silent * SLOW_SHARE)
        kinds: tuple[tuple[str, int, Attack], ...] = (
            ("bomb", bombs, Attackers._send_bomb),
            ("large", large, Attackers._send_large),
            ("garbage", garbage, Attackers._send_garbage),
            ("half", halves, Attackers._send_half),
            ("slow", slow, Attackers._send_slowly),
            ("idle", silent - slow, Attackers._send_nothing),
        )
        random = Random(self._seed)
        tasks = [
            asyncio.create_task(self._again(attack, Random(random.random()), number / OPEN_PER_S))
            for _, count, attack in kinds
            for number in range(count)
        ]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _again(self, attack: Attack, random: Random, after_s: float) -> None:
        await asyncio.sleep(after_s)
        while True:
            try:
                await attack(self, random)
            except OSError:
                self.answers["refused"]["cut"] += 1
            await asyncio.sleep(REST_S * (0.5 + random.random()))

    async def _post(self, kind: str, head: str, body: bytes) -> None:
        """One request on a connection of its own; its answer is counted."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            async with asyncio.timeout(TRIES_S):
                try:
                    writer.write(head.encode("latin-1") + body)
                    await writer.drain()
                except OSError:
                    pass  # it answered and hung up before all was sent
                self.answers[kind][await _status(reader)] += 1
        except TimeoutError:
            self.answers[kind]["silence"] += 1
        finally:
            writer.transport.abort()

    def _head(self, length: int, *more: str) -> str:
        lines = (
            "POST /webhooks/shopify HTTP/1.1",
            "Host: 127.0.0.1",
            "Content-Type: application/json",
            f"Content-Length: {length}",
            f"X-Shopify-Shop-Domain: {self._shop}",
            "X-Shopify-Topic: orders/create",
            "X-Shopify-Hmac-Sha256: " + "A" * 43 + "=",
            *more,
        )
        return "\r\n".join([*lines, "", ""])

    async def _send_bomb(self, random: Random) -> None:
        encoding = random.choice(("gzip", "deflate", "br", "zstd", "GZIP", "gzip, gzip"))
        head = self._head(len(self._bomb), f"Content-Encoding: {encoding}")
        await self._post("bomb", head, self._bomb)

    async def _send_large(self, random: Random) -> None:
        size = random.choice((10 * MIB, 10 * MIB, 11 * MIB, 2 * MIB))
        await self._post("large", self._head(size), b" " * size)

    async def _send_garbage(self, random: Random) -> None:
        await self._post("garbage", next(_garbage(random)), b"")

    async def _send_half(self, random: Random) -> None:
        await self._post("half", self._head(5_000), b" " * random.randrange(5_000))

    async def _send_slowly(self, random: Random) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(b"POST /webhooks/shopify HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
            while not reader.at_eof() and not writer.is_closing():
                writer.write(b"a")
                await writer.drain()
                await asyncio.sleep(1)
            self.answers["slow"]["cut"] += 1
        finally:
            writer.transport.abort()

    async def _send_nothing(self, random: Random) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            await reader.read(1)
            self.answers["idle"]["cut"] += 1
        finally:
            writer.transport.abort()


def _garbage(random: Random) -> Iterator[str]:
    """Requests that are none, without end."""
    while True:
        yield random.choice(
            (
                "".join(map(chr, random.randbytes(random.randrange(1, 2_000)))) + "\r\n\r\n",
                "GET / HTTP/9.9\r\n\r\n",
                "POST /webhooks/shopify HTTP/1.1\r\nHost: [::\r\nContent-Length: 0\r\n\r\n",
                f"{POST}Content-Length: -1\r\n\r\n",
                f"{POST}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                f"{POST}Transfer-Encoding: chunked\r\n\r\nzz\r\n",
                f"GET /{'a' * 20_000} HTTP/1.1\r\nHost: x\r\n\r\n",
                f"GET / HTTP/1.1\r\nHost: x\r\nX-Long: {'b' * 20_000}\r\n\r\n",
                "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "\0" * 300,
                "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            )
        )


async def _status(reader: asyncio.StreamReader) -> str:
    try:
        line = await reader.readline()
    except (OSError, ValueError):
        return "cut"
    parts = line.split()
    return parts[1].decode("latin-1") if len(parts) > 1 else "cut"


def main() -> None:
    """Attack, and print what was answered."""
    parser = argparse.ArgumentParser("python -m simulator.chaos.attackers")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--shop", required=True, help="a shop that the receiver knows")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--connections", type=int, default=3_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
    attackers = Attackers(arguments.port, arguments.shop, arguments.seed)
    began_s = time.monotonic()
    asyncio.run(attackers.run(arguments.seconds, arguments.connections))
    said = {kind: dict(answers) for kind, answers in attackers.answers.items()}
    took_s = round(time.monotonic() - began_s, 1)
    sys.stdout.write(orjson.dumps({"seconds": took_s, "answers": said}).decode() + "\n")


if __name__ == "__main__":
    main()
