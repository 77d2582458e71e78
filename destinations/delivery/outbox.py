"""The outbox processor of a destination's kind: turns orders into rows of events, in the runner's
transaction."""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from destinations.delivery.ledger import expire
from destinations.delivery.life import DEFAULT_DAYS, marked, tidy, with_life
from destinations.delivery.protocol import Events, OrderEvent, Proposal, Slot
from destinations.delivery.results import forbidden
from destinations.delivery.rows import (
    DRY_RUN,
    FORBID_ONLY,
    LAST_US,
    NO_CONSENT,
    OPEN,
    OUTBOX,
    PENDING,
    PREDICTED,
    SKIPPED,
    TOO_OLD,
    UNPAID,
    OutboxDeltas,
    OutboxRow,
)
from processors.engine.shared_decoding import Share, Unshared
from processors.privacy.late import redacted_orders
from processors.shopify.orders import Order, OrderDeleted, Zones, decode_order
from processors.shopify.orders import OrderEvent as TopicEvent
from stream.record import Entry
from stream.store.contract import Key, Transaction

HISTORY = "backfill"
"""Header `origin` of orders of the past, which no destination is notified of: somebody else has
sent them, or nobody should."""


class Placed(NamedTuple):
    """A slot, and the keys of its row."""

    slot: Slot
    key: Key
    own: Key
    """The row that is surely this order's own, where another order has `key`."""


class OutboxProcessor:
    """A `processors.engine.processor.Processor` of orders, for all accounts of one kind.

    Every event that the destination finds in an order gets a row, to be sent or not, so that a user
    can ask what happened to it. While the row is open (`rows`) the newest version of the order
    decides; later it can only forbid sending. A deleted order is final.
    """

    topic = "orders"

    def __init__(
        self,
        name: str,
        shops: Collection[str],
        events: Events,
        zones: Zones,
        days: int = DEFAULT_DAYS,
        fetching: Collection[str] = (),
        share: Share[TopicEvent] | None = None,
    ) -> None:
        """`shops` are those with an account of the kind. `days`: see `life`. `fetching`: shops for
        which an order that a delivery cut short is fetched whole within a minute. `share`: of the
        process's decoded orders; by itself it decodes with `zones`."""
        self.name, self._fetching = name, frozenset(fetching)
        self._shops, self._events, self._days = frozenset(shops), events, days
        self._share: Share[TopicEvent] = (
            Unshared(partial(decode_order, zones=zones)) if share is None else share
        )

    def decode(self, entry: Entry) -> OrderEvent | None:
        """Whole orders and deletions, of shops with an account; no history."""
        headers = entry.record.headers
        if headers.get("shop") not in self._shops or headers.get("origin") == HISTORY:
            self._share.skip(entry)
            return None
        event = self._share.decode(entry)
        if isinstance(event, Order) and event.cut_short and event.shop in self._fetching:
            return None  # Its lines would be too few; the whole order follows.
        return event if isinstance(event, (Order, OrderDeleted)) else None

    def apply(self, transaction: Transaction, events: Sequence[OrderEvent], now_ms: int) -> None:
        orders = [event for event in events if isinstance(event, Order)]
        redacted = redacted_orders(transaction, orders) if orders else {}
        if redacted:  # Nothing more is sent of theirs, and nothing kept.
            events = [each for each in events if (each.shop, each.order_id) not in redacted]
        placed = [_placed(slot) for slot in self._events.slots(transaction, events)]
        spare = {each.own for each in placed if each.slot.own_row}
        before = transaction.load(OUTBOX, {each.key for each in placed} | spare)
        marks = marked(
            transaction,
            (key for each in placed for key in (each.key, each.own) if key not in before),
        )
        changing = [each for each in placed if _changing(before.get(each.key), each, marks)]
        slots = [each.slot for each in changing if isinstance(each.slot.event, Order)]
        proposals = iter(self._events.proposals(transaction, slots) if slots else ())
        rows = dict(before)
        for each in changing:
            event = each.slot.event
            proposal = None if isinstance(event, OrderDeleted) else next(proposals)
            key = each.own if _taken(rows.get(each.key), each) else each.key
            row = rows.get(key)
            if not _heard(row, event):
                continue
            if proposal is None or isinstance(event, OrderDeleted):
                rows[key] = _deleted(row, key, event, now_ms)
            elif row is not None and not _open(row, event):
                rows[key] = _paid_before(row, key, event, proposal, now_ms)
            elif row is not None and row.outcome in FORBID_ONLY:
                rows[key] = _reconsidered(row, event, proposal)
            else:
                rows[key] = _folded(row, key, event, proposal, now_ms)
        _save(transaction, before, rows, [key for key in spare if _superseded(key, placed, rows)])

    def tick(self, transaction: Transaction, now_ms: int, shop: str | None = None) -> None:
        """Expire rows that are no longer worth sending, shrink and delete old ones."""
        expire(transaction, now_ms, shop)
        tidy(transaction, now_ms, self._days, shop)
        self._events.tick(transaction, now_ms, shop)


def _placed(slot: Slot) -> Placed:
    place = (slot.event.shop, slot.destination, slot.event_name)
    return Placed(slot, (*place, slot.event_id), (*place, slot.own_id))


def _open(row: OutboxRow | None, event: OrderEvent) -> bool:
    """Whether `event` may change its row. A row that was forbidden after it may have been accepted
    is final."""
    if row is None:
        return True
    if row.outcome not in OPEN | FORBID_ONLY or (
        row.outcome in OPEN and row.ambiguous_ms is not None
    ):
        return False
    return isinstance(event, OrderDeleted) or event.version > (
        row.updated_us,
        row.triggered,
        row.digest,
    )


def _heard(row: OutboxRow | None, event: OrderEvent) -> bool:
    """Whether `event` is considered: it may change its row, or be the payment that the row waits
    for."""
    waiting = row is not None and row.outcome == SKIPPED and row.reason.startswith(UNPAID)
    return _open(row, event) or (waiting and isinstance(event, Order))


def _changing(row: OutboxRow | None, placed: Placed, marks: Collection[Key]) -> bool:
    """Whether the delivery may change a row; `marks` are of rows that are gone."""
    if _taken(row, placed):
        return placed.own not in marks
    if row is None and (placed.key in marks or placed.own in marks):
        return False
    return _heard(row, placed.slot.event)


def _taken(row: OutboxRow | None, placed: Placed) -> bool:
    """Whether the row is another order's."""
    return row is not None and row.order_id != placed.slot.event.order_id


def _seen(row: OutboxRow, order: Order) -> OutboxRow:
    """The row, marked as checked against this version of its order."""
    version = order.version
    return row._replace(
        updated_us=version.updated_us, triggered=version.triggered, digest=version.digest
    )


def _folded(
    row: OutboxRow | None, key: Key, order: Order, proposal: Proposal, now_ms: int
) -> OutboxRow:
    """The open row's next state; the order is newer than the row. Once a paid state of the order
    has made its row pending, later states change this:

    | a newer state | no request made yet | a request made, sent or not |
    |---|---|---|
    | edited, returned, refunded | built again | nothing: an event id has one payload |
    | edited up to partially paid | nothing | nothing |
    | cancelled, voided, consent withdrawn | not sent | not sent again |
    """
    if row is not None and row.outcome == PENDING:
        if proposal.outcome == PENDING:
            return _seen(_rebuilt(row, order, proposal), order)
        if proposal.outcome == TOO_OLD or proposal.waits:
            return _seen(row, order)  # It came in time and paid, and expires by itself.
    shop, destination, event_name, event_id = map(str, key)
    outcome, reason, body, keys = proposal.outcome, proposal.reason, b"", ""
    browser = False
    if proposal.waits:
        reason = UNPAID + reason
    due_ms = expires_ms = None
    if outcome == PENDING:
        built = proposal.build(event_id)
        if built.refused:
            outcome, reason = SKIPPED, PREDICTED + built.refused
        else:
            body, keys = built.payload, ",".join(built.match_keys)
            browser = built.browser
            outcome = DRY_RUN if proposal.dry_run else PENDING
            # Never later than from now: the receiver's clock may have been ahead.
            from_ms = min(order.received_ms, now_ms)
            due_ms = None if proposal.dry_run else from_ms + proposal.wait_ms
            expires_ms = proposal.expires_ms
    version = order.version
    return OutboxRow(
        shop=shop,
        destination=destination,
        event_name=event_name,
        event_id=event_id,
        order_id=order.order_id,
        updated_us=version.updated_us,
        triggered=version.triggered,
        digest=version.digest,
        outcome=outcome,
        reason=reason,
        payload=body,
        match_keys=keys,
        event_time_s=proposal.event_time_s,
        received_ms=order.received_ms,
        due_ms=due_ms,
        expires_ms=expires_ms,
        attempts=row.attempts if row is not None else "",
        checkout_token=proposal.checkout_token if body or proposal.outcome != PENDING else "",
        browser=int(browser),
        day=order.day,
        currency=order.currency,
        value=order.current_total,
    )


def _rebuilt(row: OutboxRow, order: Order, proposal: Proposal) -> OutboxRow:
    """A pending row with a newer state's payload, as long as no request was made with the older
    one."""
    untouched = row.attempts == "" and row.ambiguous_ms is None
    if not untouched or proposal.event_time_s != row.event_time_s:
        return row
    built = proposal.build(row.event_id)
    if built.refused:
        return row
    return row._replace(
        payload=built.payload,
        match_keys=",".join(built.match_keys),
        browser=int(built.browser),
        checkout_token=proposal.checkout_token,
        day=order.day,
        currency=order.currency,
        value=order.current_total,
    )


def _paid_before(
    row: OutboxRow, key: Key, order: Order, proposal: Proposal, now_ms: int
) -> OutboxRow:
    """A row that waits for payment, after an older delivery: sent if that one was paid.

    An older state changes nothing else. The newest may be partially paid because a paid order was
    edited up.
    """
    if proposal.outcome not in (PENDING, TOO_OLD):
        return row
    return _folded(row, key, order, proposal, now_ms)._replace(
        updated_us=row.updated_us, triggered=row.triggered, digest=row.digest
    )


def _reconsidered(row: OutboxRow, order: Order, proposal: Proposal) -> OutboxRow:
    """A row that may have been accepted by now, after a newer delivery of its order."""
    row = _seen(row, order)
    if proposal.outcome in (SKIPPED, NO_CONSENT) and not proposal.waits:
        return forbidden(row, proposal.outcome, proposal.reason)
    return row._replace(veto="", reason="") if row.veto else row


def _deleted(row: OutboxRow | None, key: Key, event: OrderEvent, now_ms: int) -> OutboxRow:
    """A final row, whatever is still delivered of the order."""
    reason = "the order was deleted"
    if row is None:
        shop, destination, event_name, event_id = map(str, key)
        row = OutboxRow(
            shop=shop,
            destination=destination,
            event_name=event_name,
            event_id=event_id,
            order_id=event.order_id,
            updated_us=LAST_US,
            triggered="",
            digest="",
            outcome=SKIPPED,
            reason=reason,
            event_time_s=now_ms // 1000,
            received_ms=now_ms,
        )
    return forbidden(row._replace(updated_us=LAST_US, triggered="", digest=""), SKIPPED, reason)


def _superseded(own: Key, placed: Sequence[Placed], rows: Mapping[Key, OutboxRow]) -> bool:
    """Whether the order of the row at `own` now has another row under its event id."""
    return own in rows and any(
        each.own == own
        and each.key != own
        and each.key in rows
        and rows[each.key].order_id == each.slot.event.order_id
        for each in placed
    )


def _save(
    transaction: Transaction,
    before: Mapping[Key, OutboxRow],
    rows: Mapping[Key, OutboxRow],
    gone: Sequence[Key],
) -> None:
    deltas = OutboxDeltas()
    changed = []
    for key, row in rows.items():
        old = before.get(key)
        if key not in gone and row is old:
            continue
        if old is not None:
            deltas.take(old)
        if key not in gone:
            row = with_life(row)
            deltas.add(row)
            changed.append(row)
    transaction.save(OUTBOX, changed)
    transaction.delete(OUTBOX, [key for key in gone if key in before])
    deltas.save(transaction)
