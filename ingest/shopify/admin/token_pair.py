"""Keeps a shop's pair of expiring tokens in the store; one process at a time refreshes it
(docs/facts/shopify-admin.md, "Tokens")."""

import time
from collections.abc import Callable
from hashlib import blake2b
from typing import NamedTuple, Protocol

from ingest.shopify.admin.errors import AdminUnavailable
from stream.store.contract import Conflict, Entities, Store

CLAIM_S = 60
"""How long a process may take to refresh before another one tries."""
PATIENCE_S = 90.0
LOOK_S = 0.2


class TokenPair(NamedTuple):
    """`renew_at_s`: Unix seconds from which a new pair is asked for."""

    access_token: str
    refresh_token: str
    renew_at_s: int

    def __repr__(self) -> str:
        return f"TokenPair(renew_at_s={self.renew_at_s})"


class PairStore(Protocol):
    """Keeps one shop's pair."""

    def load(self) -> TokenPair | None:
        """The pair, where one has been stored."""
        ...

    def replace(self, seen: TokenPair | None, refresh: Callable[[str], TokenPair]) -> TokenPair:
        """The pair that follows `seen`: by `refresh` of its refresh token, or another process's.

        It is stored before it is returned.
        """
        ...


class _Row(NamedTuple):
    """`first` names the configured refresh token from which the pair descends, by a digest."""

    shop: str
    first: str
    access_token: str
    refresh_token: str
    renew_at_s: int
    claimed_until_s: int


ROWS = Entities("admin_token", _Row, 1)


class StoredPair:
    """A shop's pair in the table `admin_token`. `configured` is the refresh token of the settings:
    a new one there replaces the pair.

    The pair is in the store, not in a file: on several machines every process must use the same
    refresh token, since the first use of a new one ends the old one. A process claims the pair,
    asks Shopify outside any transaction, and saves the new pair before anybody uses it. A kill in
    between loses nothing: the old refresh token stays valid until its successor is used.
    """

    def __init__(
        self,
        store: Store,
        shop: str,
        configured: str,
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`clock`: Unix seconds."""
        self._store, self._shop, self._configured = store, shop, configured
        self._first = blake2b(configured.encode(), digest_size=16).hexdigest()
        self._clock, self._sleep = clock, sleep

    def load(self) -> TokenPair | None:
        """The stored pair that descends from the configured refresh token."""
        with self._store.snapshot() as snapshot:
            found = snapshot.query(
                "SELECT first, access_token, refresh_token, renew_at_s FROM admin_token"
                " WHERE shop = :shop",
                shop=self._shop,
            )
        if not found or found[0].first != self._first or not found[0].access_token:
            return None
        return TokenPair(found[0].access_token, found[0].refresh_token, found[0].renew_at_s)

    def replace(self, seen: TokenPair | None, refresh: Callable[[str], TokenPair]) -> TokenPair:
        """The pair that follows `seen`. Raises AdminUnavailable, TokenRefused, StoreError."""
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            row, other = self._claim(seen)
            if other is not None:
                return other
            if row is not None:
                try:
                    pair = refresh(row.refresh_token)
                except BaseException:
                    self._save(row._replace(claimed_until_s=0))
                    raise
                self._save(_Row(self._shop, self._first, *pair, claimed_until_s=0))
                return pair
            self._sleep(LOOK_S)
        raise AdminUnavailable(f"{self._shop}: another process goes on refreshing its token")

    def _claim(self, seen: TokenPair | None) -> tuple[_Row | None, TokenPair | None]:
        """The row to refresh, claimed for us; or the pair that another process has stored; or
        neither, where another process is about it."""
        key = (self._shop,)
        try:
            with self._store.begin() as transaction:
                row = transaction.load(ROWS, [key]).get(key)
                if row is None or row.first != self._first:
                    row = _Row(self._shop, self._first, "", self._configured, 0, 0)
                pair = TokenPair(row.access_token, row.refresh_token, row.renew_at_s)
                if row.access_token and (seen is None or pair != seen):
                    return None, pair
                now_s = int(self._clock())
                if row.claimed_until_s > now_s:
                    return None, None
                claimed = row._replace(claimed_until_s=now_s + CLAIM_S)
                transaction.save(ROWS, [claimed])
                return claimed, None
        except Conflict:
            return None, None  # another process has made the row at this moment

    def _save(self, row: _Row) -> None:
        with self._store.begin() as transaction:
            transaction.load(ROWS, [(self._shop,)])
            transaction.save(ROWS, [row])
