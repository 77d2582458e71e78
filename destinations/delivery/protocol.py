"""The seam: what a vendor's folder implements (docs/facts/destinations.md, "Seam"). The rest of
delivery is shared.

    Kind           one line of destinations/registry.py: the name, and how to make the two below
    ├── Events      which events an order has, and what each says; one per process for all accounts
    └── Destination one account: how a request is made, and what its answer means
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from destinations.delivery.account import Account
from destinations.delivery.backoff import Schedule
from destinations.delivery.rows import OutboxRow
from destinations.delivery.schema import AccountState, AttemptMade
from destinations.delivery.verdict import Verdict
from processors.shopify.orders import Order, OrderDeleted
from stream.store.contract import Reading, Store, Transaction

if TYPE_CHECKING:
    from destinations.browser.facts import BrowserFacts
    from destinations.delivery.transport import Call, HttpAnswer

OrderEvent = Order | OrderDeleted
PredictedLtv = Callable[[Order], tuple[int, str] | None]
"""A customer's first order -> minor units and currency of what the customer will be worth; None
where no value may be sent."""


class Slot(NamedTuple):
    """An event that a delivery of an order concerns, and the outbox row that is its place."""

    event: OrderEvent
    destination: str
    """The account's name."""
    event_name: str
    event_id: str
    own_id: str
    """The event id where another order has `event_id` already: surely this order's own."""
    own_row: bool = False
    """The order may have a row under `own_id` already, or need one."""


class Built(NamedTuple):
    """An event ready to be sent."""

    payload: bytes
    """JSON, sent byte for byte at every attempt."""
    match_keys: tuple[str, ...] = ()
    refused: str = ""
    """Why its vendor would refuse it (`<code>: <words>`): it is not sent."""
    browser: bool = False
    """What the browser's pixel reported has completed it."""


class Proposal(NamedTuple):
    """What the delivery in a slot would make of its event if it were the first."""

    outcome: str
    """`pending`, `skipped`, `no_consent` or `too_old`."""
    reason: str
    event_time_s: int
    expires_ms: int
    """When it stops being worth sending; at most 30 days after the delivery."""
    build: Callable[[str], Built]
    """From the event id. Called only where the row becomes pending."""
    dry_run: bool = False
    """It is built and kept, and never sent."""
    waits: bool = False
    """Skipped only because it is not paid. That takes nothing back: an order that was paid and then
    edited up is partially paid. An older delivery in which it was paid may still send it."""
    checkout_token: str = ""
    """By which the browser's facts may complete it later; "" where they may not."""
    wait_ms: int = 0
    """How long to wait for them, from the delivery on."""


class Events(Protocol):
    """The events of orders, for all accounts of a kind. Runs in the processor's transaction and may
    load much."""

    def slots(self, transaction: Transaction, events: Sequence[OrderEvent]) -> Sequence[Slot]:
        """The rows that these deliveries concern, in their order: none, one or several each.

        Called first: locks that come before those of the rows are taken here.

        A slot of OrderDeleted forbids its row, unless that was sent.
        """
        ...

    def proposals(self, transaction: Transaction, slots: Sequence[Slot]) -> Sequence[Proposal]:
        """The proposals of these slots, one for one; none of them is of an OrderDeleted.

        Pure except for tables of the destination's own.
        """
        ...

    def tick(self, transaction: Transaction, now_ms: int, shop: str | None) -> None:
        """Time-driven changes in the destination's own tables, of `shop` or of all."""
        ...


class Completer(Protocol):
    """How the browser's facts complete the events of an account. Pure."""

    def refusal(self, facts: "BrowserFacts") -> str:
        """Why the visitor's choices forbid sending; "" where they do not."""
        ...

    def completed(self, payload: bytes, facts: "BrowserFacts", seen_ms: int) -> Built:
        """The event with what was missing in it. `seen_ms`: when the browser reported last."""
        ...

    def event_id(self, facts: "BrowserFacts") -> str | None:
        """The id that the browser's own event has; None where it does not name the account's."""
        ...

    def awaits(self, facts: "BrowserFacts") -> bool:
        """Whether the browser has still to report something that the event waits for."""
        ...

    def renamed(self, payload: bytes, event_id: str) -> bytes | None:
        """The event under that id; None where the one that it has is not to be replaced."""
        ...


class RequestLimits(NamedTuple):
    """How much may be sent to one account."""

    events: int = 1
    """Events in a request."""
    body_bytes: int | None = None
    """Bytes of payloads in a request; a larger single event goes by itself."""
    in_flight: int = 4
    """Requests at a time."""
    spacing_ms: int = 20
    """Most time between claims under load, so that rows gather into batches."""
    timeout_s: float = 10.0
    """For one request; at most half of the lease (`sender.Tuning`)."""


class Request(NamedTuple):
    """An HTTP request."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


class Rule(NamedTuple):
    """Why the destination's own rule pauses an account."""

    code: str
    message: str
    """In words for the user, with what to do."""


class Destination(Protocol):
    """One account of one shop."""

    kind: str
    shop: str
    name: str
    account: str
    """The vendor's own id of it: shown, never a secret."""
    limits: RequestLimits
    schedule: Schedule
    repeat_ms: int | None
    """How long the receiver recognises a repeat by its event id; None: for ever. 0: never."""
    public_only: bool
    """Requests go to public addresses only: the URL is not ours, and may point inside."""
    may_hold: bool
    """Whether `paused_by` has to be asked before each request."""

    def request(self, rows: Sequence[OutboxRow], now_ms: int) -> Request:
        """The request that sends these rows, at most `limits.events` of them."""
        ...

    def judge(
        self, answer: "HttpAnswer | None", rows: Sequence[OutboxRow]
    ) -> Verdict | Sequence[Verdict]:
        """The meaning of the answer: one verdict for the request, or one per row in order.

        None: the request was written, at least in part, and no answer came.
        """
        ...

    def repaired(self, row: OutboxRow, verdict: Verdict) -> OutboxRow | None:
        """Another payload for a refused event that may be accepted now; None if there is none."""
        ...

    def paused_by(self, transaction: Transaction, now_ms: int) -> Rule | None:
        """The destination's own rule that pauses the account now, if any."""
        ...


class Context(NamedTuple):
    """What the composition root passes to destinations."""

    predicted_ltv: PredictedLtv | None = None


class AnswerTypes(NamedTuple):
    """Types of a kind's answers, where they have more members than those of all kinds."""

    account: type[AccountState] = AccountState
    attempt: type[AttemptMade] = AttemptMade
    """Further members are `Verdict.details` by name, null where an attempt has none."""


Aside = Callable[[Store, Sequence[Account], "Call"], Awaitable[None]]
"""Work beside sending, until cancelled."""


Beside = Callable[[Reading, str, str, str], Mapping[str, Any]]
"""(store, shop, account's name, account's id) -> members of its answer, by name."""


def nothing_beside(reading: Reading, shop: str, name: str, account_id: str) -> Mapping[str, Any]:
    """For a destination without further members in its answer."""
    return {}


LeftOut = Callable[[Order, Any, Mapping[str, Any]], Mapping[str, str]]
"""(order, account's settings, event as it was built) -> why a field is missing, by its name."""


def nothing_left_out(order: Order, settings: Any, event: Mapping[str, Any]) -> Mapping[str, str]:
    """For a destination whose events have the same fields whatever the order."""
    return {}


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """A kind of destination. Its functions import what they need, so that a process loads only what
    it uses."""

    name: str
    processor: str
    """Names the positions of the processor that reads orders for it; never changed once in use."""
    settings: Callable[[], type[Any]]
    """The model of an account: a pydantic model or a dataclass with a field `shop`."""
    events: Callable[[Sequence[Account], Context], Events]
    destination: Callable[[Account], Destination]
    account_id: Callable[[Any], str]
    """From the settings: `Destination.account`."""
    max_age_s: Callable[[Any], int]
    """From the settings: how old an event usually may be."""
    match_keys: tuple[str, ...] = ()
    """Fields that identify a buyer, in the order in which answers list them."""
    answer_types: Callable[[], AnswerTypes] = AnswerTypes
    beside: Beside = nothing_beside
    """Members of the account's answer that `AccountState` has not."""
    left_out: LeftOut = nothing_left_out
    """For `orderwire preview`. Quotes no personal data."""
    completer: Callable[[Account], Completer] | None = None
    """How the browser's facts complete its events; None where they are of no use."""
    asides: Mapping[str, Aside] = field(default_factory=dict)
    """By name, as status shows them."""
