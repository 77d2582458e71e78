"""Decides whether an order is a sale to report to Meta, and as what, before anything is built."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from destinations.delivery.rows import NO_CONSENT, PENDING, SKIPPED, TOO_OLD
from destinations.meta.event.detail import Detail, fields_at
from destinations.meta.settings import ANY, DAY_S, SKIP, CapiSettings, max_age_s
from processors.shopify.orders import Order

PAID = frozenset({"paid", "partially_refunded", "refunded"})
OVER = {"voided": "the payment was voided", "expired": "the payment expired"}
POS = frozenset({"pos", "iphone", "android"})
DRAFT = frozenset({"shopify_draft_order", "draft_order"})
PHONE = frozenset({"phone", "phone_order"})
BY_STAFF = POS | DRAFT | PHONE
ENTERED = frozenset({"physical_store", "phone_call"})
"""Action sources of orders that staff enter."""
DEDUPLICATED_S = 48 * 3_600
"""Meta recognises a repeat of the browser's event for as long (docs/facts/meta.md,
"Deduplication")."""
BEHIND_S = 900
"""An order that Shopify changed so long after our time of receipt came by a clock of ours that was
behind: then Shopify's time is the time of receipt."""
_gaps = re.compile(r"[\s_-]+")


class Decision(NamedTuple):
    """The decision on an order now. `reason` is in words, "" for pending."""

    outcome: str
    reason: str
    action_source: str
    event_time_s: int
    by_staff: bool = False
    """IP address and user agent are those of staff or a till, never the buyer's."""
    waits: bool = False
    """Skipped only because it is not paid: a later state may send it, and an earlier one may
    have."""
    asks_consent: bool = False
    """The order says nothing on consent where the setting asks for it: the browser may have."""
    late: bool = False
    """Paid so late that Meta no longer recognises it and the browser's event as one sale."""


def action_source(source_name: str | None, detail: Detail, settings: CapiSettings) -> str:
    """One of Meta's action sources, or `skip`.

    `source_name` is free text (Shopify: web, pos, shopify_draft_order, subscription_contract*, an
    app's id). An unknown one counts as the web if the order has a buyer's user agent, else as
    `source_other` (marketplaces, imports, the API).
    """
    name = (source_name or "").lower()
    for known in (source_name or "", name) if settings.sources else ():
        if known in settings.sources:
            return settings.sources[known]
    if name.startswith("subscription_contract") or (
        detail.tags and detail.tags.intersection(settings.renewal_tags)
    ):
        return settings.source_renewal
    if name == "web":
        return settings.source_web
    if name in POS:
        return settings.source_pos
    if name in DRAFT:
        return settings.source_draft
    if name in PHONE:
        return settings.source_phone
    browser = detail.user_agent and detail.user_id is None
    return settings.source_web if browser else settings.source_other


def by_staff(source_name: str | None, detail: Detail, source: str) -> bool:
    """Whether staff entered the order: in the admin, by phone, at a till."""
    name = (source_name or "").lower()
    till = (detail.user_agent or "").lower().startswith("shopify pos")
    return detail.user_id is not None or name in BY_STAFF or source in ENTERED or till


def _folded(value: str) -> str:
    """`Opt-in` and `opt in` are `opt_in`."""
    return _gaps.sub("_", value.strip().casefold())


def _yes(value: Any, accepted: tuple[str, ...]) -> bool:
    if isinstance(value, dict) and "state" in value:
        value = value["state"]  # Shopify's email_marketing_consent and its like.
    if isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str | int) or not str(value).strip():
        return False
    return ANY in accepted or _folded(str(value)) in map(_folded, accepted)


def _said(order: Order, detail: Detail, where: str | None) -> list[Any]:
    """What the order says on consent: cart attribute `where`, else the order's (or its customer's)
    field of that name or path; nothing where no setting asks."""
    if where is None:
        return []
    if where in detail.attributes:
        return [detail.attributes[where]]
    found = fields_at(order.body, (where, f"customer.{where}"))
    return [value for value in found if value not in (None, "")]


def _not_a_sale(order: Order) -> str:
    if order.test:
        return "a test order"
    if order.cancelled:
        return "the order is cancelled"
    return OVER.get(order.financial_status, "")


def decide(
    order: Order, detail: Detail, settings: CapiSettings, *, consented: bool = False
) -> Decision:
    """The decision on `order` in the state of this delivery: the first rule that applies. Pure: age
    is measured at the time of receipt. `consented`: the browser reported a yes to marketing.

    | rule | outcome |
    |---|---|
    | test, cancelled, voided, expired | skipped |
    | with trigger `paid`: not paid (yet) | skipped, and `waits` if nothing else forbids it |
    | its source's policy is `skip` | skipped |
    | a consent setting, and no clear yes: in the order, else of the browser | no_consent |
    | `late_payment` is `skip`, paid more than 48 hours after it was made | too_old |
    | older than 7 days when first seen to be a sale, 62 for physical_store | too_old |
    | none of these | pending |

    A refunded order was paid once, and Meta takes no corrections. A partially paid one may have
    been paid and then edited up, so it takes nothing back (`waits`). An `event_time` ahead of our
    clock becomes the time of receipt: the sale is real, and Meta refuses the future (2804004).
    """
    received_s, updated_s = order.received_ms // 1000, order.version.updated_us // 1_000_000
    if updated_s - received_s >= BEHIND_S:
        received_s = updated_s
    ordered_s = min(int(order.processed_at.timestamp()), received_s)
    is_paid = order.financial_status in PAID
    # Nothing in the body says when it was paid: the first state that is paid does.
    paid_s = max(ordered_s, min(updated_s, received_s))
    late = is_paid and settings.trigger == "paid" and paid_s - ordered_s > DEDUPLICATED_S
    at_payment = settings.event_time == "payment" and is_paid
    source = action_source(order.source_name, detail, settings)
    event_time_s = paid_s if at_payment else ordered_s
    said = _said(order, detail, settings.consent)
    outcome, reason = _forbidden(order, settings, source, said, consented=consented)
    waits = False
    age_s, most_s = received_s - event_time_s, max_age_s(source)
    if not_a_sale := _not_a_sale(order):
        outcome, reason = SKIPPED, not_a_sale
    elif settings.trigger == "paid" and not is_paid:
        waits = not outcome
        outcome = SKIPPED
        reason = f"financial_status is {order.financial_status[:32] or 'not given'}"
    elif not outcome and late and settings.late_payment == "skip":
        outcome = TOO_OLD
        reason = (
            f"the order was paid {(paid_s - ordered_s) // 3600} hours after it was made; Meta "
            "deduplicates for 48 (META_LATE_PAYMENT)"
        )
    elif not outcome and age_s >= most_s:
        outcome = TOO_OLD
        reason = (
            f"the order was {age_s // DAY_S} days old when it was first seen to be a sale; Meta "
            f"takes none older than {most_s // DAY_S}"
        )
        if late and not at_payment:
            reason += " (META_EVENT_TIME=payment counts from the payment)"
    return Decision(
        outcome or PENDING,
        reason,
        source,
        event_time_s,
        by_staff(order.source_name, detail, source),
        waits,
        asks_consent=settings.consent is not None and not consented and not said,
        late=late,
    )


def _forbidden(
    order: Order, settings: CapiSettings, source: str, said: Sequence[Any], *, consented: bool
) -> tuple[str, str]:
    """(outcome, reason) if the shop's policy holds a sale back; ("", "") if not."""
    if source == SKIP:
        name = (order.source_name or "an unknown source")[:64]
        return SKIPPED, f"orders from {name} are not sent, by setting"
    accepted = settings.consent_values
    if settings.consent is None or consented or any(_yes(value, accepted) for value in said):
        return "", ""
    return NO_CONSENT, f"{settings.consent} is not there, or no clear yes (META_CONSENT_VALUES)"
