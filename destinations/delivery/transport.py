"""One HTTP request to a vendor: returns the answer, or raises what is known of it.

CallFailed
├── NotSent        nothing was written: no connection, no address; the vendor has nothing
│   └── NotPublic  the name has no public address, and only such may be called
└── NoAnswer       written, at least in part, and no answer came: the vendor may have it
"""

from collections.abc import Mapping
from socket import AF_INET, AddressFamily
from typing import NamedTuple, Protocol
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from destinations.delivery.public_address import is_private_host, is_public

CONNECT_TIMEOUT_S = 3.0
KEEP_ALIVE_S = 10.0
"""Shorter than any proxy's, so that a request is not written into a connection that is just being
closed (NoAnswer for nothing)."""
MAX_ANSWER_BYTES = 1 << 20
"""Answers have some hundred bytes; of what a broken proxy may say without end this much is read."""


class CallFailed(Exception):
    """No answer."""


class NotSent(CallFailed):
    """Nothing was written."""


class NotPublic(NotSent):
    """The address is not public, and was not called."""


class NoAnswer(CallFailed):
    """Something was written."""


class HttpAnswer(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Call(Protocol):
    """The seam: one request, one answer. Raises NotSent, NoAnswer. Redirects are not followed: they
    would take a token along."""

    async def __call__(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout_s: float,
    ) -> HttpAnswer: ...


def aiohttp_call(session: aiohttp.ClientSession, *, public_only: bool = False) -> Call:
    """A `Call` over a session (make both with the same `public_only`)."""

    proxies: dict[str, str | None] = {}

    async def call(
        method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> HttpAnswer:
        if public_only and is_private_host(URL(url).host or ""):
            raise NotPublic("the URL holds an address that is not public")
        proxy = None
        if not public_only:
            # aiohttp's `trust_env` asks the environment and looks for a .netrc, in a thread, at
            # every request; hosts are few.
            where = "/".join(url.split("/", 3)[:3])
            if where not in proxies:
                proxies[where] = _proxy(URL(url))
            proxy = proxies[where]
        timeout = aiohttp.ClientTimeout(total=timeout_s, connect=min(CONNECT_TIMEOUT_S, timeout_s))
        try:
            async with session.request(
                method,
                url,
                headers=headers,
                data=body,
                timeout=timeout,
                allow_redirects=False,
                proxy=proxy,
            ) as response:
                return HttpAnswer(response.status, dict(response.headers), await _start(response))
        except (
            aiohttp.ClientConnectorError,
            aiohttp.ConnectionTimeoutError,
            aiohttp.InvalidURL,
        ) as error:
            if isinstance(getattr(error, "os_error", None), _PrivateAddress):
                raise NotPublic("no address of the host is public") from None
            raise NotSent(type(error).__name__) from None
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise NoAnswer(type(error).__name__) from None

    return call


async def _start(response: aiohttp.ClientResponse) -> bytes:
    """The body's beginning; leaving the rest unread closes the connection."""
    parts, left = [], MAX_ANSWER_BYTES
    async for part in response.content.iter_any():
        parts.append(part[:left])
        left -= len(parts[-1])
        if not left:
            break
    return b"".join(parts)


def client_session(in_flight: int = 256, *, public_only: bool = False) -> aiohttp.ClientSession:
    """A session for all accounts; open it inside the event loop, close it at the end.

    `aiohttp_call` uses HTTP(S)_PROXY and NO_PROXY of the environment. With `public_only` it does
    not, since a proxy would resolve names by itself: names then resolve to public addresses only,
    and the connection goes to the very address that was checked.
    """
    connector = aiohttp.TCPConnector(
        limit=in_flight,
        keepalive_timeout=KEEP_ALIVE_S,
        resolver=PublicResolver() if public_only else None,
    )
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


def _proxy(url: URL) -> str | None:
    """The proxy of the environment for a URL; None where it is called directly."""
    host = url.host or ""
    return None if proxy_bypass(host) else getproxies().get(url.scheme)


class _PrivateAddress(OSError):
    """A name stands for addresses that are not public."""


class PublicResolver(AbstractResolver):
    """Resolves names as usual, without addresses that are not public."""

    def __init__(self, usual: AbstractResolver | None = None) -> None:
        """`usual` is aiohttp's if nothing else is given."""
        self._usual = aiohttp.DefaultResolver() if usual is None else usual

    async def resolve(
        self, host: str, port: int = 0, family: AddressFamily = AF_INET
    ) -> list[ResolveResult]:
        """Addresses of `host`. Raises OSError where there is none."""
        found = await self._usual.resolve(host, port, family)
        public = [each for each in found if is_public(each["host"])]
        if found and not public:
            raise _PrivateAddress("no address of the host is public")
        return public

    async def close(self) -> None:
        """Close the usual resolver."""
        await self._usual.close()
