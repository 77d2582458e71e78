"""Reads a request's body within limits: its length, its time, and the bytes of all bodies in
flight.

Bytes are charged to one `Budget` as they arrive, not as a Content-Length promises them: a sender
that announces 10 MiB and sends nothing takes no place from others.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from ingest.receiver.outcome import Outcome

MIB = 1 << 20

LARGE_BYTES = MIB // 4
"""Nearly every delivery is smaller. What is larger may take up half of the bytes in flight, so that
large bodies, whoever sends them, leave a place for the others."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the receiver takes. Shopify gives a delivery 5 s in all; read and ack together stay
    below with 0.5 s to spare."""

    max_body_bytes: int = 10 * MIB
    max_in_flight_bytes: int = 64 * MIB
    """Bodies being read or being made durable, all together. Beyond it: 503."""
    read_timeout_s: float = 2.0
    """For a body to arrive; and for what is left of a refused one, before its connection is cut."""
    ack_timeout_s: float = 2.5
    retry_after_s: int = 5

    def __post_init__(self) -> None:
        if self.max_in_flight_bytes < self.max_body_bytes:
            raise ValueError(
                "max_in_flight_bytes is below max_body_bytes: a body of the full size could never "
                "be taken"
            )


class Budget:
    """Bytes of bodies in flight, of a limit; large bodies (`LARGE_BYTES`) that are still being read
    may take half of it."""

    __slots__ = ("limit", "reading_large", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.reading_large = 0

    def take(self, size: int) -> bool:
        """Charge `size`; False, and nothing charged, where it does not fit."""
        if self.used + size > self.limit:
            return False
        self.used += size
        return True

    def give(self, size: int) -> None:
        self.used -= size


class _Reading:
    """The charge of one body while it is read."""

    __slots__ = ("budget", "max_large", "size")

    def __init__(self, budget: Budget, max_body_bytes: int) -> None:
        self.budget, self.size = budget, 0
        self.max_large = max(budget.limit // 2, max_body_bytes)

    def take(self, size: int) -> bool:
        """Charge `size` more bytes; False, and nothing charged, where they do not fit."""
        if self.size + size <= LARGE_BYTES:
            large = 0
        else:
            large = size if self.size > LARGE_BYTES else self.size + size
        if self.budget.reading_large + large > self.max_large or not self.budget.take(size):
            return False
        self.budget.reading_large += large
        self.size += size
        return True

    def read(self) -> None:
        """The body is whole: its bytes stay charged, as those of any body."""
        if self.size > LARGE_BYTES:
            self.budget.reading_large -= self.size

    def give_up(self) -> None:
        """Give everything back."""
        self.read()
        self.budget.give(self.size)


async def read_body(
    request: web.BaseRequest, limits: Limits, budget: Budget, keep: Callable[[], bool]
) -> bytes | Outcome:
    """The request's body, its length charged to `budget` for the caller to give back; or why there
    is none, nothing charged.

    `keep` is asked before a body is waited for: where it says no, the body is read and dropped, and
    the outcome is UNSIGNED.
    """
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower() != "identity":
        return Outcome.ENCODED
    content = request.content
    try:
        if content.is_eof():  # it came with its headers, as nearly every delivery does
            body = await content.readany()
            if len(body) > limits.max_body_bytes:
                return Outcome.TOO_LARGE
            if not budget.take(len(body)):
                return Outcome.BUSY
        else:
            announced = request.content_length or 0
            if announced > limits.max_body_bytes:
                return Outcome.TOO_LARGE
            if not keep():
                return await _drop(request, limits)
            return await _read_on(request, limits, budget, announced)
    except TimeoutError:
        return Outcome.TOO_SLOW
    except (OSError, HttpProcessingError, web.RequestPayloadError):
        return Outcome.BROKEN
    return body


async def _drop(request: web.BaseRequest, limits: Limits) -> Outcome:
    """Read the body without keeping it.

    It is hashed and takes as long as a configured shop's, so that the time until the 401 does not
    say whether the shop is configured.
    """
    await _ask_for_it(request)
    content, size, digest = request.content, 0, sha256()
    async with asyncio.timeout(limits.read_timeout_s):
        while not content.at_eof():
            part = await content.readany()
            size += len(part)
            if size > limits.max_body_bytes:
                return Outcome.TOO_LARGE
            digest.update(part)
    return Outcome.UNSIGNED


async def _read_on(
    request: web.BaseRequest, limits: Limits, budget: Budget, announced: int
) -> bytes | Outcome:
    if budget.used + announced > budget.limit:
        return Outcome.BUSY
    await _ask_for_it(request)
    content, parts, reading = (
        request.content,
        list[bytes](),
        _Reading(budget, limits.max_body_bytes),
    )
    whole = False
    try:
        async with asyncio.timeout(limits.read_timeout_s):
            while not content.at_eof():
                part = await content.readany()
                if reading.size + len(part) > limits.max_body_bytes:
                    return Outcome.TOO_LARGE
                if not reading.take(len(part)):
                    return Outcome.BUSY
                parts.append(part)
        whole = True
    finally:
        if whole:
            reading.read()
        else:
            reading.give_up()
    return b"".join(parts)


async def _ask_for_it(request: web.BaseRequest) -> None:
    """Answer `Expect: 100-continue` (RFC 9110, 10.1.1); what exceeds a limit was refused before."""
    expects = request.headers.get(hdrs.EXPECT, "").lower()
    if request.version != HttpVersion11 or expects != "100-continue":
        return
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = (
        0  # nothing of the answer is sent yet; aiohttp's own handler of `Expect` does the same
    )
