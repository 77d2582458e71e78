"""The only HTTP client of Meta's Graph API: a request gets an answer, or an exception that says
what is known of the events.

    CallFailed
    ├── NotSent     nothing was written: no connection, no address. Meta has nothing
    └── NoAnswer    written, at least in part, and no answer came: Meta may have the events

The token is in the Authorization header only, `appsecret_proof` in the body (docs/facts/meta.md,
"Request"). Redirects are not followed: they would take the token along.
"""

import hmac
from collections.abc import Mapping
from typing import NamedTuple, Protocol

import aiohttp
import orjson

from destinations.meta.settings import CapiSettings

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


def appsecret_proof(app_secret: str, access_token: str) -> str:
    """Hex HMAC-SHA256 of the token under the app secret (facebook_business serverside/util.py)."""
    return hmac.digest(app_secret.encode(), access_token.encode(), "sha256").hex()


def headers(settings: CapiSettings) -> dict[str, str]:
    """For every call."""
    return {"Authorization": f"Bearer {settings.access_token}", "Content-Type": "application/json"}


def events_url(settings: CapiSettings) -> str:
    """Where events go."""
    return f"{settings.graph_url.rstrip('/')}/{settings.graph_version}/{settings.pixel_id}/events"


def events_body(settings: CapiSettings, payloads: list[bytes]) -> bytes:
    """A request's JSON from events that are JSON already, byte for byte."""
    rest: dict[str, str] = {"partner_agent": settings.partner_agent}
    if settings.test_event_code:
        rest["test_event_code"] = settings.test_event_code
    if settings.app_secret:
        rest["appsecret_proof"] = appsecret_proof(settings.app_secret, settings.access_token)
    return b'{"data":[' + b",".join(payloads) + b"]," + orjson.dumps(rest)[1:]
