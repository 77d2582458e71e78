"""One HTTP request to a vendor: an answer comes back, or an exception says what is known of it.

CallFailed
├── NotSent     nothing was written: no connection, no address. The vendor has nothing
└── NoAnswer    written, at least in part, and no answer came: the vendor may have it

Redirects are not followed: they would take a token along.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import aiohttp

CONNECT_TIMEOUT_S = 3.0
KEEP_ALIVE_S = 10.0
"""Shorter than any proxy's, so that a request is not written into a connection that is just being closed (NoAnswer for nothing)."""


MAX_ANSWER_BYTES = 1 << 20
"""Graph's answers have some hundred bytes; of what a broken proxy may say without end this much is read."""


class CallFailed(Exception):
    """No answer."""


class NotSent(CallFailed):
    """Nothing was written."""


class NoAnswer(CallFailed):
    """Something was written."""


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Call(Protocol):
    """The seam: one request, one answer. Raises NotSent, NoAnswer."""

    async def __call__(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout_s: float,
    ) -> Answer: ...


def aiohttp_call(session: aiohttp.ClientSession) -> Call:
    """A `Call` over a session (make it with `client_session`)."""

    async def call(
        method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> Answer:
        timeout = aiohttp.ClientTimeout(total=timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
        try:
            async with session.request(
                method, url, headers=headers, data=body, timeout=timeout, allow_redirects=False
            ) as response:
                return Answer(response.status, dict(response.headers), await _start(response))
        except (
            aiohttp.ClientConnectorError,
            aiohttp.ConnectionTimeoutError,
            aiohttp.InvalidURL,
        ) as error:
            raise NotSent(type(error).__name__) from None
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise NoAnswer(type(error).__name__) from None

    return call


async def _start(response: aiohttp.ClientResponse) -> bytes:
    """The answer, or what fits; leaving the rest unread closes the connection."""
    parts, left = [], MAX_ANSWER_BYTES
    async for part in response.content.iter_any():
        parts.append(part[:left])
        left -= len(parts[-1])
        if not left:
            break
    return b"".join(parts)


def client_session(in_flight: int = 256) -> aiohttp.ClientSession:
    """A session for all pixels; open it inside the event loop, close it at the end."""
    connector = aiohttp.TCPConnector(limit=in_flight, keepalive_timeout=KEEP_ALIVE_S)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
