"""An order's events for receivers of webhooks: order.paid, order.refunded, order.cancelled."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial

from destinations.delivery.account import Account
from destinations.delivery.protocol import Built, OrderEvent, Proposal, Slot
from destinations.delivery.rows import PENDING, SKIPPED, TOO_OLD
from destinations.webhook import payload
from destinations.webhook.detail import WebhookDetail, detail
from destinations.webhook.payload import CANCELLED, PAID, REFUNDED
from destinations.webhook.settings import HOUR_S, WebhookSettings
from processors.shopify.orders import Order
from stream.store.contract import Transaction

PAID_STATES = frozenset({"paid", "partially_refunded", "refunded"})
RETRY_MS = 80 * HOUR_S * 1000
"""Longer than the schedule of attempts, about 75 hours."""


class WebhookEvents:
    """A `destinations.delivery.protocol.Events`.

    | event | when | key | not sent |
    |---|---|---|---|
    | order.paid | first seen paid, not cancelled | the order | test; cancelled before sending |
    | order.refunded | each refund that moved money | order and refund | a test order |
    | order.cancelled | first seen cancelled | the order | a test order |

    Event times are those of the order, the refund and the cancellation. Events of a deleted order
    are not sent any more. Refunds come with the deliveries of their order (`orders/updated`).
    """

    def __init__(self, accounts: Sequence[Account]) -> None:
        self._accounts: dict[str, list[Account]] = {}
        self._settings: dict[tuple[str, str], WebhookSettings] = {}
        for account in accounts:
            self._accounts.setdefault(account.shop, []).append(account)
            self._settings[account.shop, account.name] = account.settings

    def slots(self, transaction: Transaction, events: Sequence[OrderEvent]) -> list[Slot]:
        return [
            Slot(event, account.name, name, event_id, own_id=event_id)
            for event in events
            for account in self._accounts.get(event.shop, ())
            for name, event_id in _names(event)
            if name in account.settings.events
        ]

    def proposals(self, transaction: Transaction, slots: Sequence[Slot]) -> list[Proposal]:
        details: dict[int, WebhookDetail] = {}
        found = []
        for slot in slots:
            order = slot.event
            assert isinstance(order, Order)  # noqa: S101 - the contract of `Events`
            rest = details.get(id(order))
            if rest is None:
                rest = details[id(order)] = detail(order.raw, order.currency)
            settings = self._settings[order.shop, slot.destination]
            found.append(_proposal(slot, order, rest, settings))
        return found

    def tick(self, transaction: Transaction, now_ms: int, shop: str | None) -> None:
        """Nothing depends on time."""


def _names(event: OrderEvent) -> Iterable[tuple[str, str]]:
    """Name and event id of the events that a delivery concerns."""
    yield PAID, event.order_id
    if isinstance(event, Order):
        for refund in event.refunds:
            yield REFUNDED, f"{event.order_id}:{refund.id}"
        if event.cancelled:
            yield CANCELLED, event.order_id


def _proposal(slot: Slot, order: Order, rest: WebhookDetail, settings: WebhookSettings) -> Proposal:
    received_s = order.received_ms // 1000
    at = _time(slot, order, rest)
    event_time_s = min(int(at.timestamp()), received_s)
    outcome, reason = PENDING, ""
    if (why := _why_not(slot, order)) is not None:
        outcome, reason = SKIPPED, why
    elif received_s - event_time_s >= settings.max_age_hours * HOUR_S:
        hours = (received_s - event_time_s) // HOUR_S
        outcome, reason = (
            TOO_OLD,
            f"it was {hours} hours old when it was first seen (max_age_hours)",
        )
    return Proposal(
        outcome,
        reason,
        event_time_s,
        order.received_ms + RETRY_MS,
        partial(_built, slot.event_name, order, rest, settings, at),
    )


def _built(
    event_name: str,
    order: Order,
    rest: WebhookDetail,
    settings: WebhookSettings,
    at: datetime,
    event_id: str,
) -> Built:
    return Built(payload.payload(event_name, order, rest, settings.include, at, event_id))


def _why_not(slot: Slot, order: Order) -> str | None:
    if order.test:
        return "a test order"
    if slot.event_name == REFUNDED:
        refund = payload.refund(order, slot.event_id)
        return None if refund.amount else "the refund has moved no money yet"
    if slot.event_name == CANCELLED:
        return None
    if order.cancelled:
        return "the order is cancelled"
    if order.financial_status not in PAID_STATES:
        return f"financial_status is {order.financial_status[:32] or 'not given'}"
    return None


def _time(slot: Slot, order: Order, rest: WebhookDetail) -> datetime:
    if slot.event_name == CANCELLED:
        return rest.cancelled_at or order.processed_at
    if slot.event_name == REFUNDED:
        return rest.refunded_at.get(slot.event_id.partition(":")[2], order.processed_at)
    return order.processed_at
