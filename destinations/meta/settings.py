"""A shop's settings for its Purchase events. Defaults never overstate a sale."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal

from destinations.delivery.account import SettingsError

ACTION_SOURCES = frozenset(
    {
        "email",
        "website",
        "app",
        "phone_call",
        "chat",
        "physical_store",
        "system_generated",
        "business_messaging",
        "other",
    }
)
SKIP = "skip"
MAX_TEST_HOURS = 72
"""The longest use of a test event code, whatever the setting: Meta keeps and uses test events
(docs/facts/meta.md, "Request")."""
DAY_S = 86_400
MAX_AGE_S = {"physical_store": 62 * DAY_S}
"""How old an event may be by `action_source`; 7 days for all others (docs/facts/meta.md, "Events").
"""
DEFAULT_MAX_AGE_S = 7 * DAY_S

ANY = "*"
CONSENT_VALUES = (
    *(
        "1",
        "true",
        "t",
        "yes",
        "y",
        "on",
        "ok",
        "checked",
        "enabled",
        "granted",
        "grant",
        "given",
        "accepted",
        "accept",
        "allowed",
        "allow",
    ),
    *("agreed", "agree", "consented", "opt_in", "opted_in", "subscribed"),
)
"""Clear words for yes. `pending` is none (Shopify: not confirmed yet), nor is a word of another
language: `consent_values` can add it."""

PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
ATTRIBUTE = "note_attributes."
_FIELDS = (
    "order_id id admin_graphql_api_id name number order_number token checkout_token cart_token"
    " checkout_id confirmation_number reference source_identifier po_number"
)
EVENT_ID_FIELDS = frozenset(_FIELDS.split())
"""Identifiers at the top of an order's body (Shopify: Order webhooks, 2023-10 to
2026-10); `order_id` is its `id`."""
PIXEL_EVENT_ID = "pixel.event_id"
"""The id of the browser's own event at checkout, as orderwire's pixel reports it."""
BY_ORDER_ID = "{order_id}"
"""The template that every order can fill in, with a value that no other order has."""
OWN_ID = "order:"
"""Prefix of the id of an order without the template's id (a POS order has no checkout_token), or
whose id another order has. It loses nothing: no browser can have sent such a sale under an id that
Meta would match. Such a row gives way to the template's id as long as no event was built for it."""
SHOP_FIELDS = frozenset({"name", "number", "order_number"})
"""Those that two shops count alike, each from its own first order."""
CONTENT_IDS = frozenset({"variant", "product", "sku", "shopify"})
CONTENT_ID_FIELDS = frozenset({"variant_id", "product_id", "sku", "country"})

ValueBasis = Literal[
    "total", "without_shipping", "without_tax", "without_shipping_and_tax", "net_of_discounts"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class CapiSettings:
    """One shop's pixel (Meta: dataset) and policy. Secrets are not in `repr`, so that no log or
    error shows them. Raises SettingsError."""

    shop: str
    pixel_id: str
    access_token: str = field(repr=False)
    app_secret: str | None = field(default=None, repr=False)
    graph_url: str = "https://graph.facebook.com"
    graph_version: str = "v27.0"
    partner_agent: str = "orderwire"
    test_event_code: str | None = None
    test_hours: int = 24
    """How long a test event code may be in use, from its first use; then the pixel pauses until the
    code is taken away. At most 72."""

    trigger: Literal["paid", "created"] = "paid"
    """`paid`: the first time that an order is seen paid. `created`: as soon as it is there, paid or
    not, for shops that sell cash on delivery; orders that are never paid are sent as well."""
    event_time: Literal["order", "payment"] = "order"
    """`order`: when the order was made, as the browser's event says. A payment more than 7 days
    later is too old for Meta. `payment`: when it was first seen paid, so that any payment is in
    time."""
    late_payment: Literal["send", "skip"] = "send"
    """Of orders paid more than 48 hours after they were made (bank transfer, invoice): Meta no
    longer recognises the browser's event of the checkout, so a shop whose pixel reports
    orders at checkout counts them twice. `send` them, and warn; `skip` where the pixel has reported
    them."""
    event_id: str = "{order_id}"
    """Template of the event id, which the browser's must equal: `{order_id}`, `{checkout_token}`,
    any other field at the top of the order, or `{note_attributes.NAME}`, a cart attribute; or
    `{pixel.event_id}` and nothing else in braces: `event.id` of `checkout_completed`, as every
    custom pixel of the shop sees it.

    An order that lacks the field, or has another order's, is sent as `order:<order id>`.
    """

    source_web: str = "website"
    source_pos: str = "physical_store"
    source_draft: str = "phone_call"
    source_phone: str = "phone_call"
    source_renewal: str = "system_generated"
    source_other: str = "other"
    """For any other `source_name` where no browser was seen; where one was, it counts as
    `source_web`. Each: an action_source, or skip."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """By exact `source_name` (an app's id), before all of the above."""
    renewal_tags: tuple[str, ...] = ("Subscription Recurring Order",)
    """Order tags by which subscription apps mark renewals, beside `source_name`
    subscription_contract*."""

    value_basis: ValueBasis = "total"
    """`total`: all that the buyer paid. `without_shipping`: less what was paid for shipping, its
    tax too. `without_tax`: less all taxes. `net_of_discounts`: Shopify's subtotal, the items after
    discounts, with taxes only where the shop's prices hold them."""
    currency: Literal["shop", "presentment"] = "shop"
    content_id: str = "variant"
    """The catalogue's ids: `variant`, `product`, `sku`; `shopify` for `shopify_<country>_<product
    id>_<variant id>`, as Shopify's own app feeds them (with `country`); or a template of
    `{variant_id}`, `{product_id}`, `{sku}` and `{country}`."""
    cost_property: str | None = None
    """Line item property with what one unit costs the shop, in the currency of `value`: where every
    item has it, `net_revenue` is sent."""
    send_customer_segmentation: bool = True
    """Whether `customer_segmentation` says that a buyer is new or existing, where that is certain.
    """
    send_predicted_ltv: bool = False
    """Whether `predicted_ltv` says what a customer will be worth: on the first order, of a website,
    where the shop's values are as Meta wants them (`/v1/rfm`, `ltv_first_orders`)."""
    dry_run: bool = False
    """True: every event is built and judged, its outcome is `dry_run`, and none is sent."""

    country: str | None = None
    """The shop's own country (ISO 3166): the last resort for reading a phone number."""
    event_source_url: str | None = None
    """The storefront; default: the host of the order's status page, else the shop's domain."""
    fbc_attributes: tuple[str, ...] = ("_fbc", "fbc")
    fbclid_attributes: tuple[str, ...] = ("fbclid", "_fbclid")
    fbp_attributes: tuple[str, ...] = ("_fbp", "fbp")
    consent: str | None = None
    """Cart attribute, or path in the order (`customer.email_marketing_consent.state`), that must be
    there and say yes. Where it is not there, a yes to marketing that the browser's pixel reported
    for the checkout counts; an order that says no is not sent, whatever the pixel reported."""
    consent_values: tuple[str, ...] = CONSENT_VALUES
    """What says yes, in any case, blanks and dashes like underscores; everything else says no.
    ("*",): whatever is there, as where the attribute is a date or exists only with consent."""
    browser_wait_s: float = 3.0
    """How long a Purchase waits for what the browser's pixel reports, where the shop has shown
    within a week that it has the pixel (`orderwire pixel`); 0 for not at all. At most 30."""
    ldu_states: tuple[str, ...] | None = None
    """US states (codes) whose orders are sent with Limited Data Use; ("*",) means all of the US.
    None: the field is not sent."""
    opt_out: bool = False
    """True: Meta uses the events for attribution only, not for delivery."""

    def __post_init__(self) -> None:
        named = {name: getattr(self, name) for name in self.__slots__ if name.startswith("source_")}
        for where, source in (
            *named.items(),
            *((f"sources[{k}]", v) for k, v in self.sources.items()),
        ):
            if source != SKIP and source not in ACTION_SOURCES:
                raise SettingsError(
                    f"{where} is {source!r}: write one of {', '.join(sorted(ACTION_SOURCES))}, or "
                    "skip"
                )
        if not self.pixel_id.isascii() or not self.pixel_id.isdigit():
            raise SettingsError(
                "pixel_id must be digits, as Meta's Events Manager shows it (Dataset ID)"
            )
        self._check_templates()
        if (
            not self.access_token
            or not self.access_token.isascii()
            or not self.access_token.isprintable()
        ):
            raise SettingsError(
                "access_token is empty or holds characters that no token has; make one in Events "
                "Manager"
            )
        if not 1 <= self.test_hours <= MAX_TEST_HOURS:
            raise SettingsError(
                f"test_hours is {self.test_hours}: a test event code may be used for 1 to "
                f"{MAX_TEST_HOURS} hours, since Meta counts test events"
            )
        if not 0 <= self.browser_wait_s <= 30:
            raise SettingsError(
                f"browser_wait_s is {self.browser_wait_s:g}: write seconds from 0 to 30"
            )
        if not self.consent_values:
            raise SettingsError(
                "consent_values is empty, so no order would ever be sent: leave it out, or write "
                "the values that mean yes"
            )
        if len(self.partner_agent) >= 23 or sum(c.isalpha() for c in self.partner_agent) < 2:
            raise SettingsError(
                "partner_agent must have fewer than 23 characters, at least 2 of them letters"
            )

    def _check_templates(self) -> None:
        names = placeholders(self.event_id)
        if not names:
            raise SettingsError(
                f"event_id is {self.event_id!r}, the same for every order: write a field in braces,"
                " as {order_id}"
            )
        if set(PLACEHOLDER.sub("", self.event_id)).intersection("{}"):
            raise SettingsError(
                f"event_id is {self.event_id!r}: each field stands in one pair of braces, as "
                "{order_id}"
            )
        if PIXEL_EVENT_ID in names:
            if len(names) > 1:
                raise SettingsError(
                    f"event_id names {{{PIXEL_EVENT_ID}}} and other fields: write it by itself"
                )
            names = ()
        for name in names:
            if name == ATTRIBUTE or (
                name not in EVENT_ID_FIELDS and not name.startswith(ATTRIBUTE)
            ):
                raise SettingsError(
                    f"event_id names {{{name}}}, which no order "
                    f"has{_nearest(name, EVENT_ID_FIELDS)}; a cart attribute is {{{ATTRIBUTE}NAME}}"
                )
        named = set(placeholders(self.content_id))
        if self.content_id in CONTENT_IDS or (named and named <= CONTENT_ID_FIELDS):
            if (self.content_id == "shopify" or "country" in named) and not self.country:
                raise SettingsError("content_id needs the shop's country: write country, as US")
            return
        raise SettingsError(
            f"content_id is {self.content_id!r}: write one of {', '.join(sorted(CONTENT_IDS))}, or "
            f"a template of {', '.join(f'{{{name}}}' for name in sorted(CONTENT_ID_FIELDS))}"
        )


def placeholders(template: str) -> tuple[str, ...]:
    """The fields that a template names."""
    return tuple(PLACEHOLDER.findall(template))


def shop_only(template: str) -> bool:
    """Whether event ids of the template are unique within a shop only."""
    names = placeholders(template)
    return bool(names) and SHOP_FIELDS.issuperset(names)


def _nearest(name: str, known: Collection[str]) -> str:
    found = get_close_matches(name, known, 1)
    return f" (did you mean {{{found[0]}}}?)" if found else ""


def max_age_s(action_source: str) -> int:
    """How many seconds old an event may be when it reaches Meta."""
    return MAX_AGE_S.get(action_source, DEFAULT_MAX_AGE_S)
