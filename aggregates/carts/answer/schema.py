"""The answers of `GET /v1/carts` and `GET /v1/carts/open`, member by member.

Definitions: docs/facts/analytics.md, "Cart states".
"""

from typing import Annotated

from msgspec import Meta, Struct

from stream.money import MoneyJson

Reason = Annotated[
    str | None, Meta(description="Why a number beside it is null, in words.", examples=[None])
]
ValueBand = Annotated[
    str, Meta(description="Third of values that it is in: low, mid or high.", examples=["mid"])
]
Customer = Annotated[str, Meta(description="Of a new or a returning customer.", examples=["new"])]
OpenCarts = Annotated[int, Meta(description="Open carts.", examples=[311])]
OpenValue = Annotated[MoneyJson | None, Meta(description="What is in them.")]
Expected = Annotated[
    MoneyJson | None, Meta(description="What orders within 7 days are expected to bring.")
]


class Carts(Struct, frozen=True, kw_only=True):
    """Carts in one state."""

    carts: Annotated[int, Meta(description="How many.", examples=[311])]
    value: Annotated[MoneyJson | None, Meta(description="What is in them.")]


class States(Struct, frozen=True, kw_only=True):
    """Checkouts by what became of them."""

    active: Annotated[Carts, Meta(description="Changed within `abandoned_after_minutes`.")]
    abandoned: Annotated[Carts, Meta(description="Idle for longer, and not ordered.")]
    recovered_direct: Annotated[
        Carts, Meta(description="Abandoned, then ordered by this checkout.")
    ]
    recovered_assisted: Annotated[
        Carts, Meta(description="Abandoned, and the customer ordered otherwise within 7 days.")
    ]
    completed: Annotated[Carts, Meta(description="Ordered before they counted as abandoned.")]
    expired: Annotated[Carts, Meta(description="Idle for so long that no order is expected.")]


class OnlineCarts(Struct, frozen=True, kw_only=True):
    """Carts of the online shop, before any checkout."""

    begun: Annotated[int, Meta(description="Carts that had an item.", examples=[5200])]
    without_checkout: Annotated[
        int, Meta(description="Those that never reached a checkout.", examples=[3360])
    ]


class AbandonmentRate(Struct, frozen=True, kw_only=True):
    """How many checkouts were ever abandoned."""

    value: Annotated[float | None, Meta(description="`abandoned` by `carts`.", examples=[0.702])]
    carts: Annotated[
        int, Meta(description="Checkouts that are old enough to count.", examples=[1840])
    ]
    abandoned: Annotated[
        int, Meta(description="Those that lay idle before any order.", examples=[1292])
    ]
    after_minutes: Annotated[
        int, Meta(description="Minutes without change that count as idle.", examples=[60])
    ]
    reason: Reason


class WithAssisted(Struct, frozen=True, kw_only=True):
    """The same with the customer's other orders: an attribution, not an effect."""

    value: Annotated[float | None, Meta(description="`recovered` by `cohort`.", examples=[0.052])]
    recovered: Annotated[int, Meta(description="Carts recovered either way.", examples=[65])]


class RecoveryRate(Struct, frozen=True, kw_only=True):
    """How many abandoned checkouts were ordered in time."""

    within_hours: Annotated[int, Meta(description="Hours from being abandoned.", examples=[1])]
    value: Annotated[float | None, Meta(description="`recovered` by `cohort`.", examples=[0.041])]
    recovered: Annotated[int, Meta(description="Those with their own order.", examples=[51])]
    cohort: Annotated[
        int,
        Meta(description="Carts abandoned in hours that are old enough.", examples=[1244]),
    ]
    with_assisted: Annotated[
        WithAssisted, Meta(description="The same with the customer's other orders.")
    ]
    reason: Reason


class CurvePoint(Struct, frozen=True, kw_only=True):
    """How many of abandoned checkouts come back by a time."""

    hours: Annotated[float, Meta(description="Hours from being abandoned.", examples=[23.0])]
    share: Annotated[float, Meta(description="Of them, those ordered by then.", examples=[0.038])]


class AbandonedPotential(Struct, frozen=True, kw_only=True):
    """What abandoned carts are still worth."""

    expected: Expected
    low: Annotated[MoneyJson | None, Meta(description="Lower bound of 80 %.")]
    high: Annotated[MoneyJson | None, Meta(description="Upper bound of 80 %.")]
    open_carts: OpenCarts
    open_value: OpenValue


class RecoveryPotential(AbandonedPotential, frozen=True, kw_only=True):
    """What all open carts are still worth."""

    prior_driven: Annotated[
        bool,
        Meta(
            description="Whether it rests more on the generic curve than on this shop's carts.",
            examples=[True],
        ),
    ]
    prior_weight: Annotated[
        float, Meta(description="How much it rests on the generic curve.", examples=[0.61])
    ]
    abandoned: Annotated[AbandonedPotential, Meta(description="The part of abandoned carts.")]
    note: Annotated[
        str,
        Meta(
            description="What the number is not.",
            examples=["what comes back by itself, as carts of this shop have so far"],
        ),
    ]


class Stratum(Struct, frozen=True, kw_only=True):
    """Open carts of one third of values, of new or of returning customers."""

    value_band: ValueBand
    customer: Customer
    open_carts: OpenCarts
    open_value: OpenValue
    expected: Expected
    low: Annotated[MoneyJson | None, Meta(description="Lower bound of 80 %.")]
    high: Annotated[MoneyJson | None, Meta(description="Upper bound of 80 %.")]
    probability: Annotated[
        float | None,
        Meta(description="Mean probability of an order within 7 days.", examples=[0.021]),
    ]
    reason: Reason


class Band(Struct, frozen=True, kw_only=True):
    """A third of values."""

    up_to: Annotated[MoneyJson, Meta(description="Its largest value.")]


class CartsOverview(Struct, frozen=True, kw_only=True):
    """Checkouts of the last 90 days: what became of them, and what open ones are still worth."""

    abandoned_after_minutes: Annotated[
        int,
        Meta(description="Minutes without change that make a cart abandoned.", examples=[60]),
    ]
    kept_days: Annotated[
        int, Meta(description="Days of checkouts that the answer counts.", examples=[90])
    ]
    reason: Annotated[
        str | None, Meta(description="Why there are no checkouts at all.", examples=[None])
    ]
    online_carts: Annotated[
        OnlineCarts | None,
        Meta(description="Carts before any checkout; null where carts/* webhooks do not arrive."),
    ]
    states: Annotated[States, Meta(description="Checkouts by what became of them.")]
    abandonment_rate: Annotated[
        AbandonmentRate, Meta(description="At `abandoned_after_minutes`, of all checkouts.")
    ]
    abandonment_rate_shopify: Annotated[
        AbandonmentRate,
        Meta(description="As Shopify counts: at 10 minutes, of checkouts with a contact."),
    ]
    recovery_rate: Annotated[
        list[RecoveryRate], Meta(description="Within 1, 24, 72 and 168 hours.")
    ]
    recovery_curve: Annotated[
        list[CurvePoint],
        Meta(
            description="What comes back by when, of carts that are abandoned now: one curve of"
            " all ages, until 7 days after the last touch. Few carts of the shop's own, and it"
            " leans on the generic curve."
        ),
    ]
    recovered_revenue: Annotated[
        MoneyJson | None, Meta(description="What the orders of `recovered_direct` are worth.")
    ]
    recovery_potential: Annotated[
        RecoveryPotential, Meta(description="What open carts are still worth.")
    ]
    strata: Annotated[list[Stratum], Meta(description="The same by value and customer.")]
    value_bands: Annotated[
        dict[str, Band],
        Meta(
            description="Where the thirds of values end.",
            examples=[{"low": {"up_to": {"amount": "31.00", "currency_code": "USD"}}}],
        ),
    ]
    other_currencies: Annotated[
        dict[str, int],
        Meta(
            description="Checkouts in other currencies, which are not counted, by currency; XXX"
            " where the delivery does not say in which.",
            examples=[{"EUR": 3}],
        ),
    ]


class OpenCart(Struct, frozen=True, kw_only=True):
    """One open cart."""

    token: Annotated[str, Meta(description="The checkout's token.", examples=["c1-token"])]
    cart_token: Annotated[
        str | None, Meta(description="The cart's token, where known.", examples=["cart-token"])
    ]
    value: Annotated[MoneyJson, Meta(description="What is in it.")]
    updated_at: Annotated[
        str, Meta(description="When it changed last.", examples=["2026-11-22T13:25:00.000Z"])
    ]
    age_minutes: Annotated[int, Meta(description="Minutes since then.", examples=[95])]
    state: Annotated[str, Meta(description="Active or abandoned.", examples=["abandoned"])]
    value_band: ValueBand
    customer: Customer
    probability: Annotated[
        float, Meta(description="Probability of an order within 7 days.", examples=[0.034])
    ]
    expected: Annotated[MoneyJson, Meta(description="What it is expected to bring.")]
    recovery_url: Annotated[
        str | None,
        Meta(
            description="Where the customer can go on with it.",
            examples=["https://example.myshopify.com/checkouts/ac/cart-token/recover?key=k"],
        ),
    ]


class OpenCartPage(Struct, frozen=True, kw_only=True):
    """A page of open carts."""

    items: Annotated[
        list[OpenCart], Meta(description="Open carts, the most recoverable value first.")
    ]
    next_cursor: Annotated[
        str | None,
        Meta(description="What `cursor` is for the next page; null on the last.", examples=[None]),
    ]
