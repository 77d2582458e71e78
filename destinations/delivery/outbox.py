"""The CAPI processor: makes at most one outbox row of each order, in the runner's transaction; the
sender sends it.

Every order seen gets a row, sale or not, so that a user can ask what happened to it. The newest
version of an order decides while the row is open, and can still forbid it after that. The payload
is built once, when the row first becomes pending, so that no event id ever has two payloads.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson
import structlog

from destinations.delivery.ledger import expire, forget_clicks
from destinations.delivery.results import forbidden
from destinations.delivery.rows import (
    CLICKS,
    HELD,
    LAST_US,
    MATCH_KEYS,
    NO_CONSENT,
    OPEN,
    OUTBOX,
    PENDING,
    PREDICTED,
    SKIPPED,
    TOO_OLD,
    ClickRow,
    OutboxRow,
    cells,
)
from destinations.meta import click, payload
from destinations.meta.detail import Detail, Money, detail
from destinations.meta.event_ids import OWN_ID, key_of, known, own_key
from destinations.meta.policy import Decision, decide
from destinations.meta.settings import DEFAULT_MAX_AGE_S, CapiSettings, max_age_s
from processors.engine.processor import Deltas
from processors.shopify.orders import Order, OrderDeleted, Zones, decode_order
from processors.shopify.tolerance import micros
from stream.record import Entry
from stream.store.contract import Key, Transaction

PredictedLtv = Callable[[str, str], Money | None]
"""(shop, customer id) -> what the customer is expected to be worth; None where RFM cannot tell."""
SAFETY_MS = 60_000
"""An event this close to Meta's age limit is not sent: it would pass it on its way, and fail the whole request."""
RETRY_MS = DEFAULT_MAX_AGE_S * 1_000
"""Nothing is retried for longer, however old Meta lets an event be (physical_store)."""
OrderEvent = Order | OrderDeleted
log = structlog.get_logger()


class Seen(NamedTuple):
    """An order's delivery, and what it comes to."""

    order: Order
    settings: CapiSettings
    detail: Detail
    decision: Decision


def no_predicted_ltv(shop: str, customer_id: str) -> Money | None:
    """Where RFM is not asked."""
    return None


class CapiProcessor:
    """A `processors.engine.processor.Processor` of Orders. `shops` maps a shop's domain to its settings; other shops are ignored."""

    name = "capi"
    topic = "orders"

    def __init__(
        self,
        shops: Mapping[str, CapiSettings],
        zones: Zones,
        predicted_ltv: PredictedLtv = no_predicted_ltv,
    ) -> None:
        self._shops, self._zones, self._predicted_ltv = shops, zones, predicted_ltv

    def decode(self, entry: Entry) -> OrderEvent | None:
        """Whole orders and deletions, of shops that have a pixel."""
        if entry.record.headers.get("shop") not in self._shops:
            return None
        event = decode_order(entry, self._zones)
        return event if isinstance(event, Order | OrderDeleted) else None

    def apply(self, transaction: Transaction, events: Sequence[OrderEvent], now_ms: int) -> None:
        ids, yielding = known(transaction, events, self._shops)
        keyed = [(event, key_of(event, self._shops[event.shop], ids)) for event in events]
        spare = {
            own
            for event, key in keyed
            if (own := own_key(key, event.order_id)) in yielding or key[3] != event.order_id
        }
        before = transaction.load(OUTBOX, {key for _, key in keyed} | spare)
        rows = dict(before)
        changing = [
            (event, key)
            for event, key in keyed
            if _taken(before.get(key), event) or _open(before.get(key), event)
        ]
        seen = [
            (key, event if isinstance(event, OrderDeleted) else self._look(event))
            for event, key in changing
        ]
        clicks = _first_seen(transaction, [look for _, look in seen if isinstance(look, Seen)])
        for key, look in seen:
            event = look.order if isinstance(look, Seen) else look
            key = own_key(key, event.order_id) if _taken(rows.get(key), event) else key
            row = rows.get(key)
            if not _open(row, event):
                continue
            if isinstance(look, OrderDeleted):
                rows[key] = _deleted(row, key, look, now_ms)
            elif row is not None and row.outcome in HELD:
                rows[key] = _reconsidered(row, look)
            else:
                rows[key] = self._fold(row, str(key[3]), look, clicks)
        if unseen := [
            look.order for _, look in seen if isinstance(look, Seen) and _no_user_agent(look)
        ]:
            log.warning(
                "capi_no_user_agent",
                shop=unseen[0].shop,
                order_id=unseen[0].order_id,
                orders=len(unseen),
            )
        _save(transaction, before, rows, [key for key in spare if _superseded(key, keyed, rows)])

    def tick(self, transaction: Transaction, now_ms: int, shop: str | None = None) -> None:
        """Expire rows that stop being worth sending, sender or not; forget old clicks."""
        expire(transaction, now_ms, shop)
        forget_clicks(transaction, now_ms, shop)

    def _look(self, order: Order) -> Seen:
        settings = self._shops[order.shop]
        found = detail(order.body, settings.currency)
        return Seen(order, settings, found, decide(order, found, settings))

    def _fold(
        self,
        row: OutboxRow | None,
        event_id: str,
        seen: Seen,
        clicks: Mapping[tuple[str, str], int],
    ) -> OutboxRow:
        """The row's next state; the order is newer than what the row knows."""
        order, decision = seen.order, seen.decision
        if (
            row is not None and row.outcome == PENDING and decision.outcome in (PENDING, TOO_OLD)
        ):  # It came in time, and expires by itself.
            return row._replace(
                updated_us=order.version.updated_us,
                triggered=order.version.triggered,
                digest=order.version.digest,
            )
        body, keys = b"", ""
        if decision.outcome == PENDING:
            built = self._build(event_id, seen, clicks)
            if payload.identifies(built["user_data"]):
                body, keys = (
                    orjson.dumps(built),
                    ",".join(name for name in MATCH_KEYS if name in built["user_data"]),
                )
            else:
                decision = decision._replace(
                    outcome=SKIPPED, reason=f"{PREDICTED}2804050: too little customer information"
                )
        due = order.received_ms if decision.outcome == PENDING else None
        last_s = decision.event_time_s + max_age_s(decision.action_source)
        return OutboxRow(
            shop=order.shop,
            pixel_id=seen.settings.pixel_id,
            event_name=payload.EVENT_NAME,
            event_id=event_id,
            order_id=order.order_id,
            updated_us=order.version.updated_us,
            triggered=order.version.triggered,
            digest=order.version.digest,
            outcome=decision.outcome,
            reason=decision.reason,
            payload=body,
            match_keys=keys,
            event_time_s=decision.event_time_s,
            received_ms=order.received_ms,
            due_ms=due,
            expires_ms=None
            if due is None
            else min(last_s * 1000 - SAFETY_MS, order.received_ms + RETRY_MS),
            attempts=row.attempts if row is not None else "",
        )

    def _build(
        self, event_id: str, seen: Seen, clicks: Mapping[tuple[str, str], int]
    ) -> dict[str, Any]:
        order, settings = seen.order, seen.settings
        fbc = _cookie(seen)
        if fbc is None and (click_id := click.fbclid(seen.detail.landing_site)) is not None:
            fbc = click.fbc(
                click.built(click_id, clicks[order.shop, click.click_key(click_id)]),
                order.received_ms,
            )
        ltv = None
        if settings.send_predicted_ltv and order.customer_id is not None:
            ltv = self._predicted_ltv(order.shop, order.customer_id)
        return payload.event(order, seen.detail, settings, seen.decision, event_id, fbc, ltv)


def _open(row: OutboxRow | None, event: OrderEvent) -> bool:
    """Whether `event` may change its row. One that was forbidden after Meta may have had it is final."""
    if row is None:
        return True
    if row.outcome not in OPEN | HELD or (row.outcome in OPEN and row.ambiguous_ms is not None):
        return False
    return isinstance(event, OrderDeleted) or event.version > (
        row.updated_us,
        row.triggered,
        row.digest,
    )


def _taken(row: OutboxRow | None, event: OrderEvent) -> bool:
    """Whether the row is another order's."""
    return row is not None and row.order_id != event.order_id


def _reconsidered(row: OutboxRow, seen: Seen) -> OutboxRow:
    """A row that may be with Meta by now, after a newer delivery of its order."""
    version, (outcome, reason, *_) = seen.order.version, seen.decision
    row = row._replace(
        updated_us=version.updated_us, triggered=version.triggered, digest=version.digest
    )
    if outcome in (SKIPPED, NO_CONSENT):
        return forbidden(row, outcome, reason)
    return row._replace(veto="", reason="") if row.veto else row


def _deleted(row: OutboxRow | None, key: Key, event: OrderDeleted, now_ms: int) -> OutboxRow:
    """A row for good, whatever is still delivered of the order."""
    reason = "the order was deleted"
    if row is None:
        place = (event.shop, str(key[1]), str(key[2]), str(key[3]))
        row = OutboxRow(
            *place,
            event.order_id,
            LAST_US,
            "",
            "",
            SKIPPED,
            reason,
            event_time_s=now_ms // 1000,
            received_ms=now_ms,
        )
    return forbidden(row._replace(updated_us=LAST_US, triggered="", digest=""), SKIPPED, reason)


def _no_user_agent(seen: Seen) -> bool:
    """What Meta documents as required for a website, and takes without: warn and send
    (docs/facts/meta.md, "Events")."""
    return (
        seen.decision.outcome == PENDING
        and seen.decision.action_source == "website"
        and seen.detail.user_agent is None
    )


def _cookies(seen: Seen) -> list[str | None]:
    """What the storefront put into the cart as fbc."""
    return [seen.detail.attributes.get(name) for name in seen.settings.fbc_attributes]


def _cookie(seen: Seen) -> str | None:
    """The first of them that is good."""
    return next(
        (found for value in _cookies(seen) if (found := click.fbc(value, seen.order.received_ms))),
        None,
    )


def _first_seen(transaction: Transaction, looks: Sequence[Seen]) -> dict[tuple[str, str], int]:
    """When each click id among the orders was first seen, Unix milliseconds; what is new is kept. A cookie tells it at any age."""
    told: dict[Key, int] = {}
    for look in looks:
        if (
            _cookie(look) is None
            and (click_id := click.fbclid(look.detail.landing_site)) is not None
        ):
            key = (look.order.shop, click.click_key(click_id))
            told_ms = [
                at_ms
                for value in _cookies(look)
                if (at_ms := click.cookie_ms(value, click_id)) is not None
            ]
            at_ms = min(micros(look.order.created_at) // 1000, look.order.received_ms, *told_ms)
            told[key] = min(at_ms, told.get(key, at_ms))
    kept = {key: row.seen_ms for key, row in transaction.load(CLICKS, told).items()}
    earliest = {key: min(at_ms, kept.get(key, at_ms)) for key, at_ms in told.items()}
    transaction.save(
        CLICKS,
        [
            ClickRow(str(key[0]), str(key[1]), at)
            for key, at in earliest.items()
            if kept.get(key) != at
        ],
    )
    return {(str(key[0]), str(key[1])): at for key, at in earliest.items()}


def _superseded(
    spare: Key, keyed: Sequence[tuple[OrderEvent, Key]], rows: Mapping[Key, OutboxRow]
) -> bool:
    """Whether a row is there whose order has one by the template by now."""
    return spare in rows and any(
        OWN_ID + order.order_id == spare[3]
        and key != spare
        and key in rows
        and rows[key].order_id == order.order_id
        for order, key in keyed
    )


def _save(
    transaction: Transaction,
    before: Mapping[Key, OutboxRow],
    rows: Mapping[Key, OutboxRow],
    gone: Sequence[Key],
) -> None:
    deltas = Deltas()
    changed = []
    for key, row in rows.items():
        old = before.get(key)
        if key not in gone and row is old:
            continue
        if old is not None:
            deltas.take(cells(old))
        if key not in gone:
            deltas.add(cells(row))
            changed.append(row)
    transaction.save(OUTBOX, changed)
    transaction.delete(OUTBOX, [key for key in gone if key in before])
    deltas.save(transaction)
