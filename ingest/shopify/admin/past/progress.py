"""The progress of a shop's backfill: one row per window in the store, saved after its append. A
kill in between repeats at most one batch, which folds tolerate."""

import threading
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ingest.shopify.admin.past.windows import TimeSpan
from stream.store.contract import Entities, Store

ORDERS, CHECKOUTS = "orders", "checkouts"
PENDING, RUNNING, DONE = "pending", "running", "done"


class BackfillWindow(NamedTuple):
    """Columns of `backfill_window`, of which the first three are its key."""

    shop: str
    kind: str
    """`orders` or `checkouts`."""
    from_s: int
    to_s: int
    state: str = PENDING
    operation: str = ""
    """The bulk operation that reads it; "" where it is read by pages."""
    cursor: str = ""
    """The end of the last page appended."""
    appended: int = 0
    """Objects in the log."""

    @property
    def span(self) -> TimeSpan:
        """The time that it covers."""
        return TimeSpan(self.from_s, self.to_s)


WINDOWS = Entities("backfill_window", BackfillWindow, 3)
_COLUMNS = ", ".join(BackfillWindow._fields)


class Progress:
    """A shop's windows. Thread-safe."""

    def __init__(self, store: Store, shop: str) -> None:
        self._store, self._shop = store, shop
        self._lock = threading.Lock()

    def windows(self, kind: str) -> list[BackfillWindow]:
        """All of them, the newest first."""
        with self._store.snapshot() as snapshot:
            rows = snapshot.query(
                f"SELECT {_COLUMNS} FROM backfill_window WHERE shop = :shop AND kind = :kind"
                " ORDER BY from_s DESC",
                shop=self._shop,
                kind=kind,
            )
        return [BackfillWindow(*row) for row in rows]

    def add(self, kind: str, spans: Iterable[TimeSpan]) -> None:
        """Windows to be read."""
        self.save([BackfillWindow(self._shop, kind, span.from_s, span.to_s) for span in spans])

    def save(self, windows: Sequence[BackfillWindow]) -> None:
        """Keep what is known of them."""
        with self._lock, self._store.begin() as transaction:
            transaction.load(WINDOWS, [WINDOWS.key_of(window) for window in windows])
            transaction.save(WINDOWS, windows)

    def halve(self, window: BackfillWindow, spans: Sequence[TimeSpan]) -> list[BackfillWindow]:
        """Put smaller windows in the place of one."""
        made = [BackfillWindow(self._shop, window.kind, span.from_s, span.to_s) for span in spans]
        with self._lock, self._store.begin() as transaction:
            transaction.load(WINDOWS, [WINDOWS.key_of(each) for each in (window, *made)])
            transaction.delete(WINDOWS, [WINDOWS.key_of(window)])
            transaction.save(WINDOWS, made)
        return made

    def forget(self, kind: str) -> None:
        """Read everything once more."""
        with self._lock, self._store.begin() as transaction:
            transaction.execute(
                "DELETE FROM backfill_window WHERE shop = :shop AND kind = :kind",
                shop=self._shop,
                kind=kind,
            )
