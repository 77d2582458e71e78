"""What the tests of any destination need: a rig for one account and its stand-in, and a clock."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

from destinations.delivery.account import Account
from destinations.delivery.ledger import COLUMNS
from destinations.delivery.outbox import OutboxProcessor
from destinations.delivery.protocol import Context, Destination
from destinations.delivery.rows import CELLS, DAY_CELLS, OutboxRow, cells, day_cells
from destinations.registry import KINDS
from processors.shopify.orders import Order
from stream.store.contract import Store
from tests.support.delivery.capi_orders import seen

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


class Trouble(StrEnum):
    """Faults that a stand-in can be given for a request."""

    UNAVAILABLE = "unavailable"
    """It fails, and has nothing."""
    UNANSWERED = "unanswered"
    """It takes the events, and the connection is cut."""
    THROTTLED = "throttled"
    """Too many requests: come back after a minute."""
    REFUSED = "refused"
    """The account as a whole: token, grant, or no more events wanted."""
    HANGS = "hangs"
    """No answer for a minute."""


R = TypeVar("R")


class ScriptedRig(Generic[R]):
    """What rigs have in common: troubles that wait in a queue, and orders of a plain web shop."""

    replies: Mapping[Trouble, R]
    """The stand-in's reply for each trouble."""

    def __init__(self) -> None:
        self._next: deque[Trouble | None] = deque()
        self.spoilt: set[str] = set()

    def reply(self) -> R | None:
        """What the next request meets."""
        trouble = self._next.popleft() if self._next else None
        return None if trouble is None else self.replies[trouble]

    def troubles(self, *troubles: Trouble | None) -> None:
        self._next.extend(troubles)

    def spoil(self, order_id: str) -> None:
        self.spoilt.add(order_id)

    def order(self, number: int, received_ms: int, **changes: Any) -> Order:
        """Paid, and made a minute ago."""
        made = datetime.fromtimestamp(received_ms / 1000, UTC) - timedelta(minutes=1)
        return seen(received_ms, **{"order_id": number, "made": made, **changes})

    def vetoed(self, number: int, received_ms: int) -> Order:
        """Cancelled."""
        later = datetime.fromtimestamp(received_ms / 1000, UTC) + timedelta(minutes=1)
        cancelled = {"cancelled_at": later.isoformat(), "updated_at": later.isoformat()}
        return self.order(number, received_ms, **cancelled)


class Rig(Protocol):
    """One account of a destination, its stand-in over real HTTP, and orders for it."""

    @property
    def account(self) -> Account: ...

    secrets: Sequence[str]
    """What may stand in no log line, error or answer."""
    probed: bool
    """A pause after REFUSED ends by itself, once a probe is taken; else a user has to ask."""
    dies_of_refusal_after_ms: int
    """So long after the first attempt an event that is always refused is dead."""

    def troubles(self, *troubles: Trouble | None) -> None:
        """Scripts the faults of the next requests, in order; None and later requests: no fault."""
        ...

    def spoil(self, order_id: str) -> None:
        """From now on the stand-in refuses the event of this order, and no other."""
        ...

    def order(self, number: int, received_ms: int, **changes: Any) -> Order:
        """A delivery that makes exactly one event to send; `changes` edit the order's JSON."""
        ...

    def vetoed(self, number: int, received_ms: int) -> Order:
        """A later delivery of that order, after which its event may not be sent."""
        ...

    def taken(self) -> Counter[str]:
        """How often the stand-in has kept each order's event, by order id."""
        ...

    def requests(self) -> int:
        """Requests that have reached the stand-in."""
        ...

    def contradictions(self) -> object:
        """Contradictions that the stand-in saw (an id with two payloads); falsy if none."""
        ...


def processor_of(account: Account) -> OutboxProcessor:
    """The processor that makes the account's events."""
    kind = KINDS[account.kind]
    return OutboxProcessor(kind.processor, {account.shop}, kind.events([account], Context()), {})


def destination_of(account: Account) -> Destination:
    return KINDS[account.kind].destination(account)


def rows(store: Store) -> list[OutboxRow]:
    with store.snapshot() as snapshot:
        found = snapshot.query(f"SELECT {COLUMNS} FROM outbox ORDER BY order_id, event_name")
        return [OutboxRow(*row) for row in found]


def assert_cells_are_the_sum_over_rows(store: Store) -> None:
    expected: Counter[tuple[Any, ...]] = Counter()
    days: dict[tuple[Any, ...], tuple[int, int]] = {}
    for row in rows(store):
        for _, key, (count,) in cells(row):
            expected[key] += count
        for _, key, (events, value) in day_cells(row):
            before = days.get(key, (0, 0))
            days[key] = before[0] + events, before[1] + value
    with store.snapshot() as snapshot:
        found = {(*cell[:-1],): cell[-1] for cell in snapshot.changes(CELLS, None).rows}
        of_days = {(*cell[:-2],): (*cell[-2:],) for cell in snapshot.changes(DAY_CELLS, None).rows}
    assert {key: count for key, count in found.items() if count} == dict(expected)
    assert {key: sums for key, sums in of_days.items() if any(sums)} == days
