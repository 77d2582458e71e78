"""Builds a Purchase event from an order (docs/facts/meta.md, "Events", "Purchase"). Pure; a bad
field is left out, never the event."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Any
from urllib.parse import urlsplit

from destinations.meta.event import click
from destinations.meta.event.amounts import Amounts
from destinations.meta.event.detail import Address, Detail, Item, countries
from destinations.meta.event.identity import all_hashed, hashed, place_hashed
from destinations.meta.event.policy import Decision
from destinations.meta.settings import PLACEHOLDER, CapiSettings, placeholders
from processors.shopify.orders import Order
from stream.money import Money, digits, is_iso_4217, minor

EVENT_NAME = "Purchase"
TOO_LITTLE = (
    frozenset({"ct", "country", "st", "zp", "ge", "client_user_agent"}),
    frozenset({"db", "client_user_agent"}),
    frozenset({"fn", "ge"}),
    frozenset({"ln", "ge"}),
)
"""`user_data` within one of these sets is refused with 2804050 (docs/facts/meta.md, "Too little
identity")."""
_IN_TOO_LITTLE = frozenset[str]().union(*TOO_LITTLE)
LDU_STATES = {
    "CA": 1000,
    "CO": 1001,
    "CT": 1002,
    "FL": 1003,
    "OR": 1004,
    "TX": 1005,
    "MT": 1006,
}
"""`data_processing_options_state` of the states whose code a page of Meta's confirms; elsewhere
Meta is asked to locate the buyer itself (docs/facts/meta.md, "Limited Data Use")."""
_STATES = (
    "AL AK AZ AR CA CO CT DE DC FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ"
    " NM NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY"
)
US_STATES = frozenset(_STATES.split())
INSIDE = tuple(
    map(
        ip_network,
        (
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "100.64.0.0/10",
            "169.254.0.0/16",
            "fc00::/7",
            "fe80::/10",
            "fec0::/10",
        ),
    )
)
"""Addresses of private networks, a carrier's NAT, a link or a site: another machine everywhere (RFC
1918, 6598, 3927, 4193, 4291)."""
MAX_CONTENTS = 500


def filled(template: str, fields: Mapping[str, str | None]) -> str | None:
    """The template with each `{field}` filled in; None if one is missing, or the result is empty or
    over 255 characters."""
    names = placeholders(template)
    if any(not fields.get(name) for name in names):
        return None
    text = PLACEHOLDER.sub(lambda found: fields[found[1]] or "", template)
    return text if 0 < len(text) <= 255 else None


def ip(addresses: tuple[str, ...]) -> str | None:
    """One IP address, IPv6 before IPv4; of a list (`X-Forwarded-For`) the first hop. Never hashed.
    None for an address inside a private network."""
    v4: str | None = None
    for text in addresses:
        found = _public(_without_port(text.partition(",")[0].strip()))
        if found is not None and ":" in found:
            return found
        v4 = v4 or found
    return v4


def _public(text: str) -> str | None:
    """The address as Python writes it; None where it is none, or not a public one."""
    try:
        # Most addresses are far from any special network; Python's own check takes 15 us.
        if ":" in text:
            packed = inet_pton(AF_INET6, text)
            if _is_global_unicast(packed):
                return inet_ntop(AF_INET6, packed)
        elif not _may_be_special(inet_pton(AF_INET, text)):
            return text
    except (OSError, ValueError):  # a zone behind it, or no address
        pass
    try:
        address = ip_address(text)
    except ValueError:
        return None
    address = getattr(address, "ipv4_mapped", None) or address
    if (
        address.is_unspecified
        or address.is_loopback
        or address.is_multicast
        or address.is_reserved
        or _inside(address)
    ):
        return None
    return str(address)


def _may_be_special(v4: bytes) -> bool:
    """Whether an IPv4 address is near a network that is unspecified, private, loopback, a link,
    multicast or reserved."""
    first, second = v4[0], v4[1]
    if first in (0, 10, 127) or first >= 224:
        return True
    return (
        (first == 192 and second == 168)
        or (first == 172 and 16 <= second < 32)
        or (first == 169 and second == 254)
        or (first == 100 and 64 <= second < 128)
    )


def _is_global_unicast(v6: bytes) -> bool:
    """Whether an IPv6 address is within 2000::/3, the block of public addresses (IANA, IPv6
    address space). It holds no network of `INSIDE`."""
    return v6[0] >> 5 == 1


def _without_port(text: str) -> str:
    """Without the port of `1.2.3.4:443` and `[2001:db8::1]:443`, as proxies write them."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _inside(address: IPv4Address | IPv6Address) -> bool:
    return bool(getattr(address, "scope_id", None)) or any(
        address.version == net.version and address in net for net in INSIDE
    )


def _place(addresses: tuple[Address, ...]) -> Address | None:
    """The address that says where the buyer is: billing, else shipping, else the customer's; the
    first with a city or a zip code, else with a province, else with a country."""
    for address in addresses:
        if address.city or address.zip:
            return address
    return next((a for a in addresses if a.province), None) or next(
        (a for a in addresses if a.country), None
    )


def user_data(
    order: Order, detail: Detail, settings: CapiSettings, fbc: str | None, *, by_staff: bool = False
) -> dict[str, Any]:
    """The buyer: hashed fields (each in a list) and fields that are never hashed, in the order of
    `MATCH_KEYS`. Only fields with a value.

    `by_staff`: IP address and user agent are not the buyer's, and left out.
    """
    data: dict[str, Any] = {}
    places = countries(detail, settings.country)
    if found := all_hashed("em", detail.emails or ((order.email,) if order.email else ())):
        data["em"] = found
    if found := (
        all_hashed("ph", detail.phones, *places) or all_hashed("ph", detail.other_phones, *places)
    ):
        data["ph"] = found
    first, last = detail.names
    if (hash_ := hashed("fn", first)) is not None:
        data["fn"] = [hash_]
    if (hash_ := hashed("ln", last)) is not None:
        data["ln"] = [hash_]
    if (place := _place(detail.addresses)) is not None:
        zip_of = place.country or (places[0] if places else "")
        data |= place_hashed(place.city, place.province, place.zip, place.country, zip_of)
    if (hash_ := hashed("external_id", order.customer_id)) is not None:
        data["external_id"] = [hash_]
    attributes = detail.attributes
    if not by_staff and (address := ip(detail.ip_addresses)):
        data["client_ip_address"] = address
    if not by_staff and detail.user_agent:
        data["client_user_agent"] = detail.user_agent
    if fbc:
        data["fbc"] = fbc
    if attributes:
        for name in settings.fbp_attributes:
            if fbp := click.fbp(attributes.get(name)):
                data["fbp"] = fbp
                break
    return data


def identifies(data: Mapping[str, Any]) -> bool:
    """Whether Meta accepts `user_data` as sufficient."""
    if not _IN_TOO_LITTLE.issuperset(data):
        return True  # Nearly always: an e-mail address, a phone number, a customer.
    keys = frozenset(data)
    return bool(keys) and not any(keys <= few for few in TOO_LITTLE)


def refusal(event: Mapping[str, Any], *, by_staff: bool) -> str:
    """Why Meta would refuse an event, after its subcode or the field's name; "" if it would not."""
    if not identifies(event["user_data"]):
        staff = "; IP address and browser are those of staff or a till" if by_staff else ""
        return f"2804050: too little customer information{staff}"
    currency = event["custom_data"]["currency"]
    if not is_iso_4217(currency):
        return f"currency: Meta takes codes of ISO 4217, and {currency} is none"
    return ""


def value(order: Order, settings: CapiSettings) -> Money:
    """The worth of what was bought on the setting's basis; never negative, in the order's own
    currency. In shop money if the payload has no presentment money.

    Shipping includes its tax. `net_of_discounts` is Shopify's subtotal: the items after discounts,
    with taxes only if prices include them.
    """
    amounts = Amounts(order.raw)
    side = settings.currency
    total = amounts.total(side)
    if total is None:
        side = "shop"
        total = amounts.total(side) or Money(order.current_total, order.currency)
    if settings.value_basis == "total":
        return total if total.units >= 0 else Money(0, total.currency)
    currency, units = total.currency, total.units

    def units_of(part: Money | None) -> int:
        return part.units if part is not None and part.currency == currency else 0

    def item_tax() -> int:
        return units_of(amounts.tax(side)) - units_of(amounts.shipping_tax(side))

    basis = settings.value_basis
    if basis == "without_shipping":
        units -= units_of(amounts.shipping(side))
    elif basis == "without_tax":
        units -= units_of(amounts.tax(side))
    elif basis == "without_shipping_and_tax":
        units -= units_of(amounts.shipping(side)) + item_tax()
    elif basis == "net_of_discounts":
        subtotal = amounts.subtotal(side)
        if subtotal is not None and subtotal.currency == currency:
            units = min(subtotal.units, units)
        else:
            included = order.raw.taxes_included is True
            units -= units_of(amounts.shipping(side)) + (0 if included else item_tax())
    return Money(max(units, 0), currency)


def _number(money: Money) -> float:
    """JSON number with the currency's own digits: 3511 USD -> 35.11."""
    return money.units / _scale(money.currency)


def _scale(currency: str) -> int:
    return _SCALES[digits(currency)]


_SCALES = (1, 10, 100, 1_000, 10_000)


SHOPIFY_FEED = "shopify_{country}_{product_id}_{variant_id}"
"""Ids of the catalogue that Shopify's Facebook & Instagram app feeds."""


NAMED_IDS = {
    "variant": "{variant_id}",
    "product": "{product_id}",
    "sku": "{sku}",
    "shopify": SHOPIFY_FEED,
}


def _id_template(settings: CapiSettings) -> str:
    return NAMED_IDS.get(settings.content_id, settings.content_id)


@lru_cache(maxsize=256)
def _content_type(template: str) -> str:
    """Of Meta's two kinds an item is a variant, a group a product."""
    groups = set(placeholders(template)).isdisjoint({"variant_id", "sku"})
    return "product_group" if groups else "product"


def _content_id(item: Item, settings: CapiSettings) -> str | None:
    """The catalogue's id of an item; None if a part of it is missing."""
    return filled(
        _id_template(settings),
        {
            "variant_id": item.variant_id,
            "product_id": item.product_id,
            "sku": item.sku,
            "country": (settings.country or "").upper() or None,
        },
    )


def _contents(
    detail: Detail, settings: CapiSettings, currency: str, source: str
) -> list[dict[str, Any]]:
    contents = []
    scale, by_variant = _scale(currency), settings.content_id == "variant"
    for item in detail.items[:MAX_CONTENTS]:
        item_id = item.variant_id if by_variant else _content_id(item, settings)
        if item_id is None or item.quantity < 1:
            continue
        content: dict[str, Any] = {"id": item_id, "quantity": item.quantity}
        price = item.price
        if price is not None and price.currency == currency and price.units >= 0:
            content["item_price"] = price.units / scale
        if source == "physical_store":
            content["delivery_category"] = "in_store"
        elif item.raw.requires_shipping is True:
            content["delivery_category"] = "home_delivery"
        contents.append(content)
    return contents


def net_revenue(worth: Money, items: Sequence[Item], settings: CapiSettings) -> Money | None:
    """`value` less what the items cost the shop; None if one of them has no cost.

    A constant share of the value would be no information beside `value`.
    """
    if settings.cost_property is None:
        return None
    bought = [item for item in items if item.quantity]
    costs = [item.properties.get(settings.cost_property) for item in bought]
    units = worth.units
    for item, cost in zip(bought, costs, strict=True):
        try:
            units -= item.quantity * minor(cost or "", worth.currency)
        except ValueError:
            return None
    return Money(units, worth.currency) if bought else None


def custom_data(
    order: Order,
    detail: Detail,
    settings: CapiSettings,
    source: str,
    predicted_ltv: Money | None,
    segment: str | None,
) -> dict[str, Any]:
    """What was bought, and the buyer's history. Items without an id are left out of `contents`: one
    costs the whole batch (2804008)."""
    worth = value(order, settings)
    data: dict[str, Any] = {
        "value": _number(worth),
        "currency": worth.currency,
        "order_id": order.order_id,
    }
    if contents := _contents(detail, settings, worth.currency, source):
        data["contents"] = contents
        data["content_type"] = _content_type(_id_template(settings))
    if units := sum([item.quantity for item in detail.items]):
        data["num_items"] = units
    if segment is not None:
        data["customer_segmentation"] = segment
    if (profit := net_revenue(worth, detail.items, settings)) is not None:
        data["net_revenue"] = _number(profit)
    if (
        predicted_ltv is not None
        and predicted_ltv.currency == worth.currency
        and predicted_ltv.units > 0
    ):
        data["predicted_ltv"] = _number(predicted_ltv)
    return data


def limited_data_use(detail: Detail, states: tuple[str, ...] | None) -> dict[str, Any]:
    """LDU if any address of the order is in one of `states` of the US; `[]` (no LDU) elsewhere;
    nothing without the setting."""
    if states is None:
        return {}
    wanted = frozenset(map(str.upper, states))
    for address in detail.addresses:
        province = (address.province or "").upper()
        if _in_us(address) and ("*" in wanted or province in wanted):
            state = LDU_STATES.get(province, 0)
            options = {
                "data_processing_options_country": 1 if state else 0,
                "data_processing_options_state": state,
            }
            return {"data_processing_options": ["LDU"], **options}
    return {"data_processing_options": []}


def _in_us(address: Address) -> bool:
    """Whether an address is in the US: by its country, else by the code of a state."""
    if address.country:
        return address.country.upper() == "US"
    return (address.province or "").upper() in US_STATES


def source_url(order: Order, detail: Detail, settings: CapiSettings) -> str:
    """The storefront's address without path and query: those of an order's status page admit
    anybody who has them."""
    if settings.event_source_url:
        return settings.event_source_url
    host = _host(detail.order_status_url)
    return f"https://{host or order.shop}/"


_plain_host = re.compile(r"https?://([a-z0-9.-]+)(?:[/?#]|\Z)").match
"""What nearly every URL begins with; `urlsplit` takes five times as long."""


def _host(url: str | None) -> str | None:
    if url and (found := _plain_host(url)):
        return found[1]
    try:
        parts = urlsplit(url or "")
        return parts.hostname if parts.scheme in ("http", "https") else None
    except ValueError:
        return None


def event(
    order: Order,
    detail: Detail,
    settings: CapiSettings,
    decision: Decision,
    event_id: str,
    fbc: str | None,
    predicted_ltv: Money | None = None,
    segment: str | None = None,
) -> dict[str, Any]:
    """The Purchase event of an order: JSON-serialisable, its keys Meta's."""
    built: dict[str, Any] = {
        "event_name": EVENT_NAME,
        "event_time": decision.event_time_s,
        "event_id": event_id,
        "action_source": decision.action_source,
    }
    if decision.action_source == "website":
        built["event_source_url"] = source_url(order, detail, settings)
        if (referrer := _host(detail.referring_site)) is not None:
            built["referrer_url"] = f"https://{referrer}/"
    built["user_data"] = user_data(order, detail, settings, fbc, by_staff=decision.by_staff)
    built["custom_data"] = custom_data(
        order, detail, settings, decision.action_source, predicted_ltv, segment
    )
    if settings.opt_out:
        built["opt_out"] = True
    if settings.ldu_states is not None:
        built.update(limited_data_use(detail, settings.ldu_states))
    return built
