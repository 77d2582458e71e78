"""An order's event for Meta: one Purchase per account, decided by `policy`, built by `payload`."""

import time
from collections.abc import Sequence
from functools import partial

import orjson
import structlog

from destinations.delivery.account import Account
from destinations.delivery.protocol import Built, Context, OrderEvent, PredictedLtv, Proposal, Slot
from destinations.delivery.rows import PENDING
from destinations.meta.event import clicks, history, payload
from destinations.meta.event.detail import detail
from destinations.meta.event.event_ids import browsers_ids, event_id_of, known
from destinations.meta.event.policy import Decision, decide
from destinations.meta.halves import Half, halves, lock
from destinations.meta.settings import DEFAULT_MAX_AGE_S, OWN_ID, CapiSettings, max_age_s
from processors.shopify.orders import Order
from stream.money import Money
from stream.rate_limit import RateLimit
from stream.store.contract import Transaction

SAFETY_MS = 60_000
"""An event this close to Meta's age limit is not sent: it would pass it on its way, and fail the
whole request."""
RETRY_MS = DEFAULT_MAX_AGE_S * 1_000
"""Nothing is retried for longer, however old Meta lets an event be (physical_store)."""
log = structlog.get_logger()


class MetaEvents:
    """A `destinations.delivery.protocol.Events`."""

    def __init__(self, accounts: Sequence[Account], context: Context) -> None:
        self._settings: dict[tuple[str, str], CapiSettings] = {}
        self._shops: dict[str, dict[str, CapiSettings]] = {}
        for account in accounts:
            self._settings[account.shop, account.name] = account.settings
            self._shops.setdefault(account.name, {})[account.shop] = account.settings
        self._predicted_ltv: PredictedLtv | None = context.predicted_ltv
        self._lines = RateLimit(time.monotonic)

    def slots(self, transaction: Transaction, events: Sequence[OrderEvent]) -> list[Slot]:
        lock(transaction, {event.shop for event in events})
        found = []
        for name, shops in self._shops.items():
            mine = [event for event in events if event.shop in shops]
            if not mine:
                continue
            ids, yielding = known(transaction, mine, shops, name)
            browsers = browsers_ids(transaction, mine, shops)
            for event in mine:
                event_id = event_id_of(event, shops[event.shop], ids, browsers)
                own_id = OWN_ID + event.order_id
                own = (event.shop, name, payload.EVENT_NAME, own_id)
                own_row = event_id != event.order_id or own in yielding
                found.append(Slot(event, name, payload.EVENT_NAME, event_id, own_id, own_row))
        return found

    def proposals(self, transaction: Transaction, slots: Sequence[Slot]) -> list[Proposal]:
        looks, decisions = [], []
        for slot in slots:
            order = slot.event
            if isinstance(order, Order):
                settings = self._settings[order.shop, slot.destination]
                found = detail(order.raw, settings.currency)
                looks.append(clicks.look_at(order, found, settings))
                decisions.append(decide(order, found, settings))
        browsers = halves(transaction, looks, decisions)
        decisions = [
            decision if browser is None else browser.judged(decision, look)
            for look, decision, browser in zip(looks, decisions, browsers, strict=True)
        ]
        first_seen = clicks.first_seen(transaction, looks)
        buyers = [
            history.buyer_of(look.order)
            if decision.outcome == PENDING
            and (look.settings.send_customer_segmentation or look.settings.send_predicted_ltv)
            else None
            for look, decision in zip(looks, decisions, strict=True)
        ]
        known = history.first_orders(transaction, [each for each in buyers if each is not None])
        _warn(self._lines, looks, decisions)
        return [
            Proposal(
                decision.outcome,
                decision.reason,
                decision.event_time_s,
                _expires_ms(look.order, decision),
                partial(self._build, look, decision, first_seen, buyer, known, browser),
                look.settings.dry_run,
                decision.waits,
                checkout_token=_token(decision, browser),
                wait_ms=0 if browser is None else browser.wait_ms,
            )
            for look, decision, browser, buyer in zip(
                looks, decisions, browsers, buyers, strict=True
            )
        ]

    def tick(self, transaction: Transaction, now_ms: int, shop: str | None) -> None:
        """Delete old clicks."""
        clicks.forget(transaction, now_ms, shop)

    def _build(
        self,
        look: clicks.ClickLook,
        decision: Decision,
        first_seen: dict[tuple[str, str], int],
        buyer: history.Buyer | None,
        known: history.FirstOrders,
        browser: Half | None,
        event_id: str,
    ) -> Built:
        order, settings = look.order, look.settings
        segment = None
        if buyer is not None:
            segment = history.segment(order, buyer, look.detail, known)
        ltv = None
        if (
            settings.send_predicted_ltv
            and self._predicted_ltv
            # Meta takes a customer's value once, on the acquisition, and of websites only
            # (docs/facts/meta.md, "Predicted lifetime value").
            and segment == history.NEW
            and decision.action_source == "website"
        ):
            ltv = self._predicted_ltv(order)
        event = payload.event(
            order,
            look.detail,
            settings,
            decision,
            event_id,
            clicks.fbc(look, first_seen),
            None if ltv is None else Money(*ltv),
            segment if settings.send_customer_segmentation else None,
        )
        if refused := payload.refusal(event, by_staff=decision.by_staff):
            return Built(b"", refused=refused)
        if browser is not None and browser.row is not None:
            return browser.completed(orjson.dumps(event))
        return Built(orjson.dumps(event), tuple(event["user_data"]))


def _token(decision: Decision, browser: Half | None) -> str:
    """By which the browser's facts find the row; "" where they could change nothing."""
    useful = decision.outcome == PENDING or decision.waits or decision.asks_consent
    return browser.token if browser is not None and useful else ""


def _expires_ms(order: Order, decision: Decision) -> int:
    last_s = decision.event_time_s + max_age_s(decision.action_source)
    return min(last_s * 1000 - SAFETY_MS, order.received_ms + RETRY_MS)


def _warn(
    lines: RateLimit, looks: Sequence[clicks.ClickLook], decisions: Sequence[Decision]
) -> None:
    """Log, once a minute for each shop, what a merchant should know of events that are sent."""
    pending = [
        (look, decision)
        for look, decision in zip(looks, decisions, strict=True)
        if decision.outcome == PENDING
    ]
    # Meta documents it as required for a website, but accepts events without (docs/facts/meta.md,
    # "Events").
    without = [
        look.order
        for look, decision in pending
        if decision.action_source == "website" and look.detail.user_agent is None
    ]
    _warn_each_shop(lines, "capi_no_user_agent", without)
    # Meta may count these twice if the shop's pixel reported them at checkout.
    late = [look.order for look, decision in pending if decision.late]
    hint = "META_LATE_PAYMENT=skip keeps back what is paid after 48 hours"
    _warn_each_shop(lines, "capi_paid_late", late, hint=hint)


def _warn_each_shop(
    lines: RateLimit, event: str, orders: Sequence[Order], **fields: object
) -> None:
    by_shop: dict[str, list[Order]] = {}
    for order in orders:
        by_shop.setdefault(order.shop, []).append(order)
    for shop, its_orders in by_shop.items():
        if lines.allows((event, shop)):
            log.warning(
                event,
                shop=shop,
                order_id=its_orders[0].order_id,
                orders=len(its_orders),
                not_shown=lines.left_out,
                **fields,
            )
