"""Explains which fields a built Purchase event lacks, and why. Quotes no value of the order."""

from collections.abc import Mapping
from typing import Any

from destinations.meta.event.detail import Detail, detail
from destinations.meta.event.match_keys import MATCH_KEYS
from destinations.meta.event.policy import action_source, by_staff
from destinations.meta.settings import CapiSettings
from processors.shopify.orders import Order

NO_ADDRESS = "no address of the order has one"
UNUSABLE = "the order has one that cannot be normalised as Meta wants it"


def left_out(order: Order, settings: CapiSettings, event: Mapping[str, Any]) -> dict[str, str]:
    """Reason by field of `user_data`, `custom_data` and the event."""
    found = detail(order.raw, settings.currency)
    staff = by_staff(order.source_name, found, action_source(order.source_name, found, settings))
    sent = event.get("user_data", {})
    missing = {
        f"user_data.{key}": _identity(key, order, found, staff=staff)
        for key in MATCH_KEYS
        if key not in sent
    }
    return missing | _custom(found, settings, event.get("custom_data", {}))


def _identity(key: str, order: Order, found: Detail, *, staff: bool) -> str:
    if key in ("client_ip_address", "client_user_agent") and staff:
        return "it is that of staff or a till, not the buyer's"
    addresses = found.addresses
    values: Mapping[str, tuple[bool, str]] = {
        "em": (bool(found.emails or order.email), "the order has no e-mail address"),
        "ph": (
            bool(found.phones or found.other_phones),
            "neither the order nor an address has a phone number",
        ),
        "fn": (bool(found.names[0]), "neither the customer nor an address has a first name"),
        "ln": (bool(found.names[1]), "neither the customer nor an address has a last name"),
        "ct": (any(each.city for each in addresses), NO_ADDRESS),
        "st": (any(each.province for each in addresses), NO_ADDRESS),
        "zp": (any(each.zip for each in addresses), NO_ADDRESS),
        "country": (any(each.country for each in addresses), NO_ADDRESS),
        "external_id": (bool(order.customer_id), "a guest's order: it names no customer"),
        "client_ip_address": (
            bool(found.ip_addresses),
            "the order has no IP address (Shopify Events never do)",
        ),
        "client_user_agent": (
            bool(found.user_agent),
            "the order has no user agent (Shopify Events never do)",
        ),
        "fbc": (False, "no click id of Meta's in the landing site or a cart attribute"),
        "fbp": (False, "no cart attribute has it; the shop's browser pixel brings it"),
    }
    there, reason = values.get(key, (False, "the order has none"))
    return UNUSABLE if there else reason


def _custom(found: Detail, settings: CapiSettings, sent: Mapping[str, Any]) -> dict[str, str]:
    missing: dict[str, str] = {}
    without_id = len(found.items) - len(sent.get("contents", ()))
    if without_id > 0:
        missing["custom_data.contents"] = (
            f"{without_id} of {len(found.items)} items have no {settings.content_id} id, or were"
            " taken out of the order"
        )
    if "net_revenue" not in sent:
        missing["custom_data.net_revenue"] = (
            "META_COST_PROPERTY is not set"
            if settings.cost_property is None
            else f"an item has no property {settings.cost_property}"
        )
    if "predicted_ltv" not in sent:
        missing["custom_data.predicted_ltv"] = (
            "a preview knows no prediction"
            if settings.send_predicted_ltv
            else "META_SEND_PREDICTED_LTV is not set"
        )
    return missing
