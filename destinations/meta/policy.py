"""Whether an order is a sale that Meta should hear of, and as what: decided here, before anything is built.

| rule, the first that applies | outcome |
|---|---|
| test, cancelled, voided, pending, expired; with trigger `paid` also authorized and partially_paid | skipped |
| its source's policy is `skip` | skipped |
| a consent setting, and the order does not carry it, or carries no clear yes | no_consent |
| older than 7 days when it was first seen to be a sale, 62 for physical_store | too_old |
| none of these | pending |

Refunded orders were paid once: Meta takes no corrections, and in whichever order the deliveries come the answer must be the same.
`source_name` is free text (Shopify: web, pos, shopify_draft_order, subscription_contract*, an app's id): what is not known counts as the
web where the order carries a browser's user agent, and as `source_other` where it does not (marketplaces, imports, the API).
"""

import re
from typing import Any, NamedTuple

from destinations.meta.detail import Detail, field_at
from destinations.meta.settings import ANY, DAY_S, SKIP, CapiSettings, max_age_s
from processors.shopify.orders import Order

PAID = frozenset({"paid", "partially_refunded", "refunded"})
CREATED = PAID | {"authorized", "partially_paid"}
POS = frozenset({"pos", "iphone", "android"})
DRAFT = frozenset({"shopify_draft_order", "draft_order"})
PHONE = frozenset({"phone", "phone_order"})
_gaps = re.compile(r"[\s_-]+")


class Decision(NamedTuple):
    """What becomes of an order now. `reason` is in words, "" for pending."""

    outcome: str
    reason: str
    action_source: str
    event_time_s: int


def action_source(source_name: str | None, detail: Detail, settings: CapiSettings) -> str:
    """An action_source of Meta's, or `skip`."""
    name = (source_name or "").lower()
    for known in (source_name or "", name):
        if known in settings.sources:
            return settings.sources[known]
    if name.startswith("subscription_contract") or detail.tags.intersection(settings.renewal_tags):
        return settings.source_renewal
    if name == "web":
        return settings.source_web
    if name in POS:
        return settings.source_pos
    if name in DRAFT:
        return settings.source_draft
    if name in PHONE:
        return settings.source_phone
    return settings.source_web if detail.user_agent else settings.source_other


def _folded(value: str) -> str:
    """`Opt-in` and `opt in` are `opt_in`."""
    return _gaps.sub("_", value.strip().casefold())


def _yes(value: Any, accepted: tuple[str, ...]) -> bool:
    if (
        isinstance(value, dict) and "state" in value
    ):  # Shopify's email_marketing_consent and its like.
        value = value["state"]
    if isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str | int) or not str(value).strip():
        return False
    return ANY in accepted or _folded(str(value)) in map(_folded, accepted)


def has_consent(order: Order, detail: Detail, where: str, accepted: tuple[str, ...]) -> bool:
    """Whether cart attribute `where`, else the order's (or its customer's) field of that name or path, is there and a clear yes."""
    if where in detail.attributes:
        return _yes(detail.attributes[where], accepted)
    return any(_yes(field_at(order.body, path), accepted) for path in (where, f"customer.{where}"))


def _not_a_sale(order: Order, settings: CapiSettings) -> str | None:
    if order.test:
        return "a test order"
    if order.cancelled:
        return "the order is cancelled"
    if order.financial_status not in (PAID if settings.trigger == "paid" else CREATED):
        return f"financial_status is {order.financial_status[:32] or 'not told'}"
    return None


def decide(order: Order, detail: Detail, settings: CapiSettings) -> Decision:
    """What becomes of `order` as this delivery saw it. Pure: age is measured when the delivery was received.

    An `event_time` ahead of our clock is brought back to it: the sale is real, and Meta refuses the future (2804004).
    """
    received_s = order.received_ms // 1000
    event_time_s = min(int(order.processed_at.timestamp()), received_s)
    source = action_source(order.source_name, detail, settings)
    outcome, reason = "pending", ""
    if (not_a_sale := _not_a_sale(order, settings)) is not None:
        outcome, reason = "skipped", not_a_sale
    elif source == SKIP:
        outcome, reason = (
            "skipped",
            f"orders from {(order.source_name or 'an unknown source')[:64]} are not sent, by setting",
        )
    elif settings.consent is not None and not has_consent(
        order, detail, settings.consent, settings.consent_values
    ):
        outcome, reason = (
            "no_consent",
            f"{settings.consent} is not there, or none of the values that mean yes (META_CONSENT_VALUES)",
        )
    elif event_time_s + max_age_s(source) <= received_s:
        age, most = (received_s - event_time_s) // DAY_S, max_age_s(source) // DAY_S
        outcome, reason = (
            "too_old",
            f"the order was {age} days old when it was first seen to be a sale; Meta takes none older than {most}",
        )
    return Decision(outcome, reason, source, event_time_s)
