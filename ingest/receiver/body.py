"""Reads a request's body within limits of length, time, and bytes of all bodies in flight."""

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
    """Limits of the receiver. Shopify gives a delivery 5 s; read and ack together leave 0.5 s of
    it."""

    max_body_bytes: int = 10 * MIB
    max_in_flight_bytes: int = 64 * MIB
    """Bodies that are read or made durable, in total. Beyond it: 503."""
    read_timeout_s: float = 2.0
    """For a body to arrive; also for the rest of a refused one, before its connection is cut."""
    ack_timeout_s: float = 2.5
    retry_after_s: int = 5

    def __post_init__(self) -> None:
        if self.max_in_flight_bytes < self.max_body_bytes:
            raise ValueError(
                "max_in_flight_bytes is below max_body_bytes: a body of the full size could never "
                "be taken"
            )


class BytesInFlight:
    """Bytes of bodies in flight, up to a limit.

    Bytes are charged as they arrive, not as Content-Length announces them: a sender that announces
    10 MiB and sends nothing takes no room from others.
    """

    __slots__ = ("limit", "reading_large", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.reading_large = 0

    def take(self, size: int) -> bool:
        """Charge `size`; returns False and charges nothing if it does not fit."""
        if self.used + size > self.limit:
            return False
        self.used += size
        return True

    def give(self, size: int) -> None:
        self.used -= size


class _Reading:
    """The charge of one body while it is read."""

    __slots__ = ("in_flight", "max_large", "size")

    def __init__(self, in_flight: BytesInFlight, max_body_bytes: int) -> None:
        self.in_flight, self.size = in_flight, 0
        self.max_large = max(in_flight.limit // 2, max_body_bytes)

    def take(self, size: int) -> bool:
        """Charge `size` more bytes; False, and nothing charged, where they do not fit."""
        if self.size + size <= LARGE_BYTES:
            large = 0
        else:
            large = size if self.size > LARGE_BYTES else self.size + size
        if self.in_flight.reading_large + large > self.max_large or not self.in_flight.take(size):
            return False
        self.in_flight.reading_large += large
        self.size += size
        return True

    def read(self) -> None:
        """The body is whole: its bytes stay charged, as those of any body."""
        if self.size > LARGE_BYTES:
            self.in_flight.reading_large -= self.size

    def give_up(self) -> None:
        """Give everything back."""
        self.read()
        self.in_flight.give(self.size)


async def read_body(
    request: web.BaseRequest,
    limits: Limits,
    in_flight: BytesInFlight,
    keep: Callable[[], bool],
    *,
    hashes: int = 1,
) -> bytes | Outcome:
    """The request's body, its length charged to `in_flight` until the caller gives it back; or an
    error outcome with nothing charged. `hashes`: how often a body that is kept would be hashed."""
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower() != "identity":
        return Outcome.ENCODED
    content = request.content
    try:
        if content.is_eof():  # it came with its headers, as nearly every delivery does
            body = await content.readany()
            if len(body) > limits.max_body_bytes:
                return Outcome.TOO_LARGE
            if not in_flight.take(len(body)):
                return Outcome.BUSY
        else:
            announced = request.content_length or 0
            if announced > limits.max_body_bytes:
                return Outcome.TOO_LARGE
            if not keep():
                return await _drop(request, limits, hashes)
            return await _read_on(request, limits, in_flight, announced)
    except TimeoutError:
        return Outcome.TOO_SLOW
    except (OSError, HttpProcessingError, web.RequestPayloadError):
        return Outcome.BROKEN
    return body


async def _drop(request: web.BaseRequest, limits: Limits, hashes: int) -> Outcome:
    """Read the body without keeping it.

    It is hashed and takes as long as a configured shop's, so that the time until the 401 does not
    say whether the shop is configured.
    """
    await _ask_for_it(request)
    content, size, digests = request.content, 0, [sha256() for _ in range(hashes)]
    async with asyncio.timeout(limits.read_timeout_s):
        while not content.at_eof():
            part = await content.readany()
            size += len(part)
            if size > limits.max_body_bytes:
                return Outcome.TOO_LARGE
            for digest in digests:
                digest.update(part)
    return Outcome.UNSIGNED


async def _read_on(
    request: web.BaseRequest, limits: Limits, in_flight: BytesInFlight, announced: int
) -> bytes | Outcome:
    if in_flight.used + announced > in_flight.limit:
        return Outcome.BUSY
    await _ask_for_it(request)
    content, parts, reading = (
        request.content,
        list[bytes](),
        _Reading(in_flight, limits.max_body_bytes),
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
    """Answer `Expect: 100-continue` (RFC 9110, 10.1.1); a body beyond a limit was refused
    before."""
    expects = request.headers.get(hdrs.EXPECT, "").lower()
    if request.version != HttpVersion11 or expects != "100-continue":
        return
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = (
        0  # nothing of the answer is sent yet; aiohttp's own handler of `Expect` does the same
    )
