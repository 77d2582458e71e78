"""The 200 that nearly every delivery gets, written once a second instead of once a delivery.

aiohttp makes the head of every response anew: 9 us on a busy machine, a quarter of what its own
handling of a request takes in all. This answer has nothing of its own delivery in it, so one object
gives it to all: status, length and date (RFC 9110, 6.6.1: an origin with a clock sends one).
"""

from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter


class Accepted(web.StreamResponse):
    """200 without a body, for connections that stay open. Keeps nothing of a request, so it may
    answer many at a time."""

    def __init__(self, clock: Callable[[], int]) -> None:
        """`clock`: Unix milliseconds."""
        super().__init__()
        self._clock = clock

    def to(self, request: web.BaseRequest) -> web.StreamResponse:
        """This answer, or aiohttp's own where the head must say more: HTTP/1.0, and a connection
        that ends with it."""
        return self if request.keep_alive and request.version == HttpVersion11 else web.Response()

    @property
    def keep_alive(self) -> bool:
        return True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Send it. Raises ConnectionError where the sender has gone, as any response does."""
        await request.writer.write_eof(_message(self._clock() // 1000))
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        """It is sent already."""


@lru_cache(maxsize=1)
def _message(now_s: int) -> bytes:
    return (
        f"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: {formatdate(now_s, usegmt=True)}\r\n\r\n"
    ).encode()
