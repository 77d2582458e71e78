"""The answer of `GET /v1/orders/{id}`, member by member."""

from typing import Annotated

from msgspec import Meta, Struct

from destinations.delivery.schema import AttemptMade, OrderDelivery
from stream.money import MoneyJson


class BoughtLine(Struct, frozen=True, kw_only=True):
    """A line item as it was bought."""

    product_id: Annotated[str, Meta(description="Shopify's product id.", examples=["632910392"])]
    variant_id: Annotated[str, Meta(description="Shopify's variant id.", examples=["808950810"])]
    sku: Annotated[str, Meta(description="The SKU; empty where there is none.", examples=["S-1"])]
    quantity: Annotated[int, Meta(description="Units bought.", examples=[2])]
    current_quantity: Annotated[
        int, Meta(description="Units without those removed or returned.", examples=[2])
    ]
    unit_price: Annotated[
        MoneyJson | None, Meta(description="Price of one; null where the body had none.")
    ]


class CountedIn(Struct, frozen=True, kw_only=True):
    """What the order is in the aggregates; null where it does not count there."""

    counts: Annotated[
        bool,
        Meta(
            description="Whether it is a sale: not a test, cancelled, voided or deleted.",
            examples=[True],
        ),
    ]
    day: Annotated[str, Meta(description="The shop's day it counts on.", examples=["2026-11-22"])]
    net: Annotated[MoneyJson, Meta(description="What the merchant keeps of it.")]
    customer: Annotated[
        str | None,
        Meta(
            description="The customer it counts for: an id, or `g:` and a hash for a guest.",
            examples=["706405506930370084"],
        ),
    ]
    first_of_customer: Annotated[
        bool | None,
        Meta(description="Whether it is the customer's first that counts.", examples=[False]),
    ]
    ad_channel: Annotated[
        str | None, Meta(description="The channel of its landing site.", examples=["meta"])
    ]
    campaign: Annotated[
        str | None,
        Meta(description="The campaign that its landing site names.", examples=["summer"]),
    ]
    cart: Annotated[
        str | None,
        Meta(description="State of the checkout that it came from.", examples=["recovered_direct"]),
    ]


class OrderKnown(Struct, frozen=True, kw_only=True):
    """What is known of one order. No personal data."""

    id: Annotated[str, Meta(description="Shopify's order id.", examples=["820982911946154508"])]
    name: Annotated[str, Meta(description="The merchant's name for it.", examples=["#1001"])]
    made_at: Annotated[
        str | None,
        Meta(description="When it was made.", examples=["2026-11-22T14:58:59.000Z"]),
    ]
    updated_at: Annotated[
        str | None,
        Meta(
            description="Of the newest delivery that was folded; null before any.",
            examples=["2026-11-22T14:59:00.000Z"],
        ),
    ]
    financial_status: Annotated[
        str | None, Meta(description="Shopify's financial status.", examples=["paid"])
    ]
    test: Annotated[bool, Meta(description="A test order.", examples=[False])]
    cancelled: Annotated[bool, Meta(description="It was cancelled.", examples=[False])]
    deleted: Annotated[bool, Meta(description="It was deleted.", examples=[False])]
    channel: Annotated[str | None, Meta(description="Shopify's sales channel.", examples=["web"])]
    country: Annotated[str | None, Meta(description="ISO 3166-1 of the address.", examples=["US"])]
    total: Annotated[MoneyJson | None, Meta(description="As it was placed.")]
    current_total: Annotated[MoneyJson | None, Meta(description="After edits and returns.")]
    refunded: Annotated[MoneyJson | None, Meta(description="Money given back.")]
    discount_codes: Annotated[
        list[str], Meta(description="Codes that were used.", examples=[["SUMMER10"]])
    ]
    lines: Annotated[list[BoughtLine], Meta(description="Line items.")]
    aggregates: Annotated[
        CountedIn | None,
        Meta(description="Where it counts; null while only a refund or a deletion is known."),
    ]
    destinations: Annotated[
        list[OrderDelivery[AttemptMade]],
        Meta(description="Its delivery to each account that an event was made for."),
    ]
