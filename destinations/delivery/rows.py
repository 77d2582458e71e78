r"""The outbox's rows and the cells they count in. A row is ledger, queue entry, dead letter and
status of an event.

    skipped, no_consent ──> pending ──> sending ──> sent
                               ^  \\         │ ├────> dead (a user may retry it)
                               │   └──> expired, skipped (cancelled before it was sent)
                               └── maybe_accepted <── (no answer, or the sender died)
    too_old, dry_run
"""

import math
from collections import Counter
from typing import NamedTuple, TypeAlias

from processors.engine.processor import Deltas, Projection
from stream.store.contract import Cells, Entities, Key, Transaction

PENDING, SENDING, SENT, MAYBE_ACCEPTED, DEAD = (
    "pending",
    "sending",
    "sent",
    "maybe_accepted",
    "dead",
)
EXPIRED, TOO_OLD, NO_CONSENT, SKIPPED = "expired", "too_old", "no_consent", "skipped"
DRY_RUN = "dry_run"
OUTCOMES = (
    *(PENDING, SENDING, SENT, MAYBE_ACCEPTED, DEAD),
    *(EXPIRED, TOO_OLD, NO_CONSENT, SKIPPED, DRY_RUN),
)
OPEN = frozenset({SKIPPED, NO_CONSENT, PENDING})
"""What a later delivery of the order may still change."""
FORBID_ONLY = frozenset({SENDING, MAYBE_ACCEPTED, DEAD})
"""What a later delivery of the order may only forbid."""
LAST_US = (1 << 63) - 1
"""`updated_us` of a deleted order: no delivery is newer."""
UNPAID = "unpaid: "
"""How the reason begins where an event is skipped only because it is not paid."""
PREDICTED = "predicted rejection "
"""How the reason begins where the vendor would have refused the event, followed by its code."""
BUCKETS_PER_OCTAVE = 8
"""Latency buckets grow by 2 ** (1/8): percentiles are right to 9 %, before interpolation."""


OutboxKey: TypeAlias = tuple[str, str, str, str]
"""(shop, destination, event name, event id)."""


class OutboxRow(NamedTuple):
    """An event of an order for one account.

    Personal data is in `payload` only, and is deleted once the row is final. A row that may have
    reached its receiver keeps event id and payload, so that the receiver can recognise a repeat; a
    later delivery can only forbid it, and while the row is `sending` the veto waits for the result.
    """

    shop: str
    destination: str
    """The account's name within its shop."""
    event_name: str
    event_id: str
    order_id: str
    updated_us: int
    """With `triggered` and `digest` the version of the order that was last looked at."""
    triggered: str
    digest: str
    outcome: str
    reason: str
    """In words; "" where there is nothing to say."""
    payload: bytes = b""
    """The event as JSON; b"" where nothing is to be sent (any more)."""
    match_keys: str = ""
    """The fields that identify the buyer, joined by commas."""
    event_time_s: int = 0
    received_ms: int = 0
    """When the delivery came that made it pending (or, before that, the newest one)."""
    sent_ms: int = 0
    """When the request was put on the wire that was answered with success; 0 before."""
    due_ms: int | None = None
    """Pending: not before. Sending: the end of the sender's lease. None: nothing more is to be
    done."""
    expires_ms: int | None = None
    """When it stops being worth sending; for a dead row and a dry run, when its payload goes."""
    ambiguous_ms: int | None = None
    """The first attempt of which nobody knows whether it was taken."""
    claimed_by: str = ""
    tries: int = 0
    """Failures in a row that a retry may cure: how far the backoff is."""
    attempts: str = ""
    """JSON objects, one per line."""
    veto: str = ""
    """Sending: `skipped` or `no_consent` where a later delivery said so meanwhile, with its
    `reason`."""
    tidy_ms: int | None = None
    """When the row is to shrink, or to go; None while something is still to be done with it."""
    checkout_token: str = ""
    """By which the browser's facts find it (`destinations/browser`); "" once it is final."""
    browser: int = 0
    """1 where the browser's facts completed its payload."""
    day: int | None = None
    """The shop's day of the order, as its payload was made; None in rows of older programs whose
    order is unknown."""
    currency: str = ""
    """The shop's, of `value`."""
    value: int = 0
    """The order's total in minor units, as its payload was made."""

    @property
    def key(self) -> OutboxKey:
        """The primary key of its table."""
        return self.shop, self.destination, self.event_name, self.event_id


class AccountRow(NamedTuple):
    """The state of an account that all senders share."""

    shop: str
    destination: str
    kind: str = ""
    account: str = ""
    """The vendor's own id of it, as it was configured last."""
    paused_since_ms: int | None = None
    paused_class: str = ""
    paused_code: str = ""
    paused_message: str = ""
    paused_by: str = ""
    """`answer`: the vendor refused. `rule`: the destination's own rule holds it; no probe ends
    that."""
    next_probe_ms: int | None = None
    """Paused: when one event is sent to see whether it works again; None: not by itself."""
    probes: int = 0
    throttled_until_ms: int = 0
    failing_since_ms: int | None = None
    """The first of the failures since the last success, where they were several in a row."""
    failing_cause: str = ""
    sent_since_day: int | None = None
    """The first day of which `DAY_CELLS` count all that was sent; None: of every day."""
    refused_cause: str = ""
    """For what the newest events were refused (`refusals.cause`), with none accepted since."""
    refused_orders: str = ""
    """The orders of those events, joined by commas."""


OUTBOX = Entities("outbox", OutboxRow, 4)
ACCOUNTS = Entities("destination_account", AccountRow, 2)
CELLS = Cells("outbox_cell", ("shop", "destination", "kind", "name"), ("events",))
"""kind: `outcome`, `match_key` (name "" counts all events that were built), `latency` (name:
bucket), `predicted` (name: the vendor's code), `browser_key` (as `match_key`, of the events that
the browser's facts completed)."""

DAY_CELLS = Cells(
    "outbox_day_cell",
    ("shop", "destination", "event_name", "day", "currency"),
    ("events", "value"),
)
"""Events that were sent, by the shop's day of their orders, and what these were worth."""


def latency_bucket(ms: int) -> str:
    """The histogram bucket of a latency; bucket b holds 2**(b/8) <= ms < 2**((b+1)/8)."""
    return str(math.floor(math.log2(max(ms, 1)) * BUCKETS_PER_OCTAVE))


def counted(row: OutboxRow) -> Projection:
    """All cells that a row counts in. Always: `aggregate == sum(counted(row) for every row)`."""
    return [*cells(row), *day_cells(row)]


def day_cells(row: OutboxRow, table: Cells = DAY_CELLS) -> Projection:
    """The cells of `table` that a row counts in once it was sent."""
    if row.outcome != SENT or row.day is None:
        return []
    key = (row.shop, row.destination, row.event_name, row.day, row.currency)
    return [(table, key, (1, row.value))]


def cells(row: OutboxRow) -> Projection:
    """The cells of `CELLS` that a row counts in."""
    place = (row.shop, row.destination)
    counted: list[Key] = [(*place, "outcome", row.outcome)]
    if row.match_keys:
        counted.append((*place, "match_key", ""))
        counted += [(*place, "match_key", name) for name in row.match_keys.split(",")]
        if row.browser:
            names = ["", *row.match_keys.split(",")]
            counted += [(*place, "browser_key", name) for name in names]
    if row.sent_ms:
        counted.append((*place, "latency", latency_bucket(row.sent_ms - row.received_ms)))
    if row.reason.startswith(PREDICTED):
        counted.append((*place, "predicted", row.reason[len(PREDICTED) :].partition(":")[0]))
    return [(CELLS, key, (1,)) for key in counted]


class _Alike(NamedTuple):
    """All that `cells` reads of a row."""

    shop: str
    destination: str
    outcome: str
    match_keys: str
    browser: int
    latency: str
    predicted: str


class OutboxDeltas:
    """Differences of the outbox's cells, as its rows change.

    A row counts in about a dozen cells, and most rows of a batch count alike: these are counted
    first, and their cells made once.
    """

    def __init__(self) -> None:
        self._rows: dict[_Alike, OutboxRow] = {}
        self._counts: Counter[_Alike] = Counter()
        self._deltas = Deltas()

    def add(self, row: OutboxRow) -> None:
        """Add a row's cells."""
        self._count(row, 1)
        self._deltas.add(day_cells(row))

    def take(self, row: OutboxRow) -> None:
        """Subtract a row's cells."""
        self._count(row, -1)
        self._deltas.take(day_cells(row))

    def save(self, transaction: Transaction) -> None:
        """Add the differences to the store."""
        for alike, count in self._counts.items():
            if count:
                row = self._rows[alike]
                self._deltas.add([(table, key, (count,)) for table, key, _ in cells(row)])
        self._deltas.save(transaction)

    def _count(self, row: OutboxRow, count: int) -> None:
        latency = latency_bucket(row.sent_ms - row.received_ms) if row.sent_ms else ""
        predicted = row.reason if row.reason.startswith(PREDICTED) else ""
        alike = _Alike(
            row.shop,
            row.destination,
            row.outcome,
            row.match_keys,
            row.browser,
            latency,
            predicted,
        )
        self._rows.setdefault(alike, row)
        self._counts[alike] += count
