"""Authorises requests: bearer tokens for all shops or some; without tokens, only requests from this
machine."""

import hmac
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from query.problem import Problem, bad_parameter


class Unprotected(ValueError):
    """The API would be reachable from elsewhere without a token."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What a request may see: all shops (None) or these."""

    shops: frozenset[str] | None = None
    token: bytes = field(default=b"", compare=False)
    """The digest of the token; empty without one."""

    def includes(self, shop: str) -> bool:
        return self.shops is None or shop in self.shops


class ApiTokens:
    """The tokens, as digests, so that a comparison takes the same time whatever was sent."""

    def __init__(self, tokens: Mapping[str, Reach]) -> None:
        digests = {sha256(token.encode()).digest(): reach for token, reach in tokens.items()}
        self._tokens = [(each, replace(reach, token=each)) for each, reach in digests.items()]

    def __bool__(self) -> bool:
        return bool(self._tokens)

    def reach(self, token: str) -> Reach | None:
        """The shops that `token` may see; None for an unknown token."""
        digest, found = sha256(token.encode("utf-8", "surrogateescape")).digest(), None
        for known, reach in self._tokens:
            if hmac.compare_digest(known, digest):
                found = reach
        return found


def parse_tokens(text: str) -> dict[str, Reach]:
    """`ORDERWIRE_API_TOKENS`: comma-separated, `token=shop1+shop2` limits one. Raises ValueError,
    never naming a token."""
    tokens: dict[str, Reach] = {}
    for number, part in enumerate(filter(None, map(str.strip, text.split(","))), 1):
        token, limited, shops = part.partition("=")
        token = token.strip()
        named = frozenset(filter(None, (shop.strip().lower() for shop in shops.split("+"))))
        if not token or (limited and not named):
            raise ValueError(f"API token number {number} is not `token` or `token=shop1+shop2`")
        if token in tokens:
            raise ValueError(f"API token number {number} is there twice")
        tokens[token] = Reach(named if limited else None)
    return tokens


def is_loopback(host: str) -> bool:
    """Whether `host` (a name or an address, brackets or not) is this machine."""
    name = host.strip("[]").lower()
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def check_bind(host: str, tokens: Collection[str]) -> None:
    """Raises Unprotected if the API would listen beyond loopback without a token."""
    if not tokens and not is_loopback(host):
        raise Unprotected(
            f"the API would listen on {host or 'all addresses'} and has no token: set "
            "ORDERWIRE_API_TOKENS, or listen on 127.0.0.1"
        )


COOKIE: Final = "orderwire_token"
"""Set by the dashboard's sign-in."""


def authorise(tokens: ApiTokens, authorization: str | None, cookie: str | None = None) -> Reach:
    """The reach of this `Authorization` header, else of the dashboard's cookie. Raises Problem
    401."""
    if not tokens:
        return Reach()
    scheme, _, token = (authorization or "").partition(" ")
    if authorization is None and cookie:
        scheme, token = "bearer", cookie
    reach = tokens.reach(token.strip()) if scheme.lower() == "bearer" else None
    if reach is None:
        detail = "the bearer token is not known" if token else "a bearer token is needed"
        raise Problem(
            401,
            "not-allowed",
            detail,
            "send `Authorization: Bearer <token>` with one of ORDERWIRE_API_TOKENS",
            headers={"WWW-Authenticate": 'Bearer realm="orderwire"'},
        )
    return reach


def check_host(host: str, allowed: Iterable[str]) -> None:
    """Raises Problem 403 for a `Host` that is neither loopback nor in `allowed`; checked if there
    is no token.

    Against DNS rebinding: a web page whose name was made to resolve to 127.0.0.1 sends its own
    name.
    """
    name = _hostname(host)
    if not is_loopback(name) and name not in allowed:
        raise Problem(
            403,
            "not-allowed",
            "the Host header names another machine",
            "ask for 127.0.0.1 or localhost, or set a token",
        )


def check_origin(origin: str | None, host: str) -> None:
    """Raises Problem 403 for a request that another web page made the browser send: its `Origin` is
    that page. Raises Problem 400 for one that is no origin."""
    if origin is not None and _parts(origin, "Origin").netloc.lower() != host.lower():
        raise Problem(
            403,
            "not-allowed",
            "the request comes from another web page",
            "send it from this address, or with curl",
        )


def _hostname(host: str) -> str:
    return (_parts(f"//{host}", "Host").hostname or "").lower()


def _parts(url: str, header: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:  # A bracket without its other one, or no IPv6 address between them.
        raise bad_parameter(
            header, f"the {header} header is malformed", "a host, or none"
        ) from None
