"""Limits posts per address and per shop by token buckets. The number of addresses is bounded: a
forgotten one starts with a full burst, so a sender with very many addresses meets the shop's limit.
No address is stored or logged."""

from collections import OrderedDict
from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple


class Rate(NamedTuple):
    """At most `burst` at once, `per_s` in the long run."""

    burst: float
    per_s: float


ADDRESS = Rate(30, 1)
"""A household's or an office's checkouts; a checkout posts two or three times."""
SHOP = Rate(2_000, 100)
"""A sale of 5,000 orders in 3 minutes posts about 80 a second."""
MOST_ADDRESSES = 20_000


class _Buckets:
    """Bounded by forgetting who was met least recently."""

    def __init__(self, rate: Rate, most: int) -> None:
        self._rate, self._most = rate, most
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now_s: float) -> bool:
        tokens, at_s = self._left.pop(key, (self._rate.burst, now_s))
        tokens = min(self._rate.burst, tokens + max(0.0, now_s - at_s) * self._rate.per_s)
        allowed = tokens >= 1
        self._left[key] = (tokens - 1 if allowed else tokens, now_s)
        if len(self._left) > self._most:
            self._left.popitem(last=False)
        return allowed

    def __len__(self) -> int:
        return len(self._left)


class PostRates:
    """What one receiver process allows; several processes allow so much each."""

    def __init__(
        self, *, address: Rate = ADDRESS, shop: Rate = SHOP, most_addresses: int = MOST_ADDRESSES
    ) -> None:
        self._addresses = _Buckets(address, most_addresses)
        self._shops = _Buckets(shop, 100_000)

    def address_allowed(self, address: str, now_s: float) -> bool:
        """Whether one more post of this address is taken; if so it counts."""
        return self._addresses.take(_network(address), now_s)

    def shop_allowed(self, shop: str, now_s: float) -> bool:
        """Likewise of a configured shop."""
        return self._shops.take(shop, now_s)

    @property
    def remembered(self) -> int:
        """Addresses remembered now."""
        return len(self._addresses)


def _network(address: str) -> str:
    """An IPv6 subscriber has a whole /64 to post from."""
    try:
        found = ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or int(found) >> 64)
    return str(found)


def sender(remote: str | None, headers: Mapping[str, str], proxies: int) -> str:
    """Whose post it is: the peer's address, or what the first of our `proxies` saw.

    Each proxy appends the address that it saw to X-Forwarded-For; what stands before is the
    sender's own word. A peer with a public address is no proxy of ours where one is expected
    on the same machine or network.
    """
    peer = remote or ""
    try:
        ours = not ip_address(peer).is_global
    except ValueError:
        ours = False
    hops = [hop.strip() for hop in headers.get("X-Forwarded-For", "").split(",") if hop.strip()]
    if not ours or not hops or proxies < 1:
        return peer
    return hops[-min(proxies, len(hops))]
