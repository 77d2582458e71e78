"""Reads a request's body within limits: its length, its time, and the bytes of all bodies in
flight.

Bytes are charged to one `Budget` as they arrive, not as a Content-Length promises them: a sender
that announces 10 MiB and sends nothing takes no place from others.
"""

import asyncio
import zlib
from dataclasses import dataclass

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from ingest.receiver.outcome import Outcome

MIB = 1 << 20


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
    """Bytes held now, of a limit."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def fits(self, size: int) -> bool:
        return self.used + size <= self.limit

    def take(self, size: int) -> bool:
        """Charge `size`; False, and nothing charged, where it does not fit."""
        if self.used + size > self.limit:
            return False
        self.used += size
        return True

    def give(self, size: int) -> None:
        self.used -= size


async def read_body(request: web.BaseRequest, limits: Limits, budget: Budget) -> bytes | Outcome:
    """The request's body, its length charged to `budget` for the caller to give back; or why there
    is none, nothing charged."""
    content = request.content
    try:
        if content.is_eof():  # it came with its headers, as nearly every delivery does
            body = await content.readany()
            if len(body) > limits.max_body_bytes:
                return Outcome.TOO_LARGE
            if not budget.take(len(body)):
                return Outcome.BUSY
        else:
            read = await _read_on(request, limits, budget)
            if isinstance(read, Outcome):
                return read
            body = read
    except TimeoutError:
        return Outcome.TOO_SLOW
    except (OSError, HttpProcessingError, web.RequestPayloadError):
        return Outcome.BROKEN
    if hdrs.CONTENT_ENCODING in request.headers:
        return _unpacked(body, request.headers[hdrs.CONTENT_ENCODING], limits, budget)
    return body


async def _read_on(request: web.BaseRequest, limits: Limits, budget: Budget) -> bytes | Outcome:
    announced = request.content_length or 0
    if announced > limits.max_body_bytes:
        return Outcome.TOO_LARGE
    if not budget.fits(announced):
        return Outcome.BUSY
    if (
        request.version == HttpVersion11
        and request.headers.get(hdrs.EXPECT, "").lower() == "100-continue"
    ):
        await _ask_for_it(request)
    content, parts, size = request.content, list[bytes](), 0
    whole = False
    try:
        async with asyncio.timeout(limits.read_timeout_s):
            while not content.at_eof():
                part = await content.readany()
                if size + len(part) > limits.max_body_bytes:
                    return Outcome.TOO_LARGE
                if not budget.take(len(part)):
                    return Outcome.BUSY
                size += len(part)
                parts.append(part)
        whole = True
    finally:
        if not whole:
            budget.give(size)
    return b"".join(parts)


async def _ask_for_it(request: web.BaseRequest) -> None:
    """Answer `Expect: 100-continue` (RFC 9110, 10.1.1); what exceeds a limit was refused before."""
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = (
        0  # nothing of the answer is sent yet; aiohttp's own handler of `Expect` does the same
    )


def _unpacked(body: bytes, coding: str, limits: Limits, budget: Budget) -> bytes | Outcome:
    """`body`, charged to `budget`, without its content coding.

    A coding that is not gzip stays on, and then no signature fits. Shopify sends none, a proxy
    might (docs/facts/shopify.md, "Delivery"). The signature is over what the sender packed.
    aiohttp's own decompression is off, since it unpacks before any limit of ours.
    """
    if coding.strip().lower() not in ("gzip", "x-gzip"):
        return body
    budget.give(len(body))
    inflate = zlib.decompressobj(wbits=31)
    try:
        plain = inflate.decompress(body, limits.max_body_bytes + 1)
    except zlib.error:
        return Outcome.BROKEN
    if len(plain) > limits.max_body_bytes:
        return Outcome.TOO_LARGE
    if not inflate.eof or inflate.unused_data:
        return Outcome.BROKEN
    return plain if budget.take(len(plain)) else Outcome.BUSY
