"""The answers of `GET /v1/rfm` and `GET /v1/rfm/customers`, member by member.

Definitions: docs/facts/analytics.md.
"""

from typing import Annotated

from msgspec import Meta, Struct

from aggregates.rfm.first_orders.schema import FirstOrdersLtv
from stream.money import MoneyJson

Reason = Annotated[
    str | None, Meta(description="Why a number beside it is null, in words.", examples=[None])
]
Score = Annotated[
    int | None,
    Meta(description="1 to 5, 5 the best; null where `reason` says so.", examples=[5]),
]
Segment = Annotated[str, Meta(description="The segment.", examples=["champions"])]


class Customers(Struct, frozen=True, kw_only=True):
    """How many customers there are."""

    ever: Annotated[int, Meta(description="Customers who ever ordered.", examples=[23570])]
    in_window: Annotated[
        int, Meta(description="Customers who ordered in the window.", examples=[23570])
    ]
    guests: Annotated[
        int,
        Meta(description="Those of `ever` who are known by an e-mail hash only.", examples=[0]),
    ]
    guests_in_window: Annotated[
        int, Meta(description="Those of `in_window` who are.", examples=[0])
    ]


class LeftOut(Struct, frozen=True, kw_only=True):
    """Orders that belong to no customer."""

    orders: Annotated[int, Meta(description="How many.", examples=[0])]
    revenue: Annotated[MoneyJson | None, Meta(description="Their revenue.")]
    reason: Annotated[
        str, Meta(description="Why they are left out.", examples=["no customer and no email"])
    ]


class Cutoffs(Struct, frozen=True, kw_only=True):
    """The four values between the five scores."""

    recency_days: Annotated[
        list[int],
        Meta(
            description="Days since the last order: up to the first is score 5.",
            examples=[[100, 198, 219, 242]],
        ),
    ]
    frequency: Annotated[
        list[int],
        Meta(
            description="Orders in the window: up to the first is score 1.",
            examples=[[1, 1, 2, 3]],
        ),
    ]
    monetary: Annotated[
        list[str],
        Meta(
            description="Revenue in the window: up to the first is score 1.",
            examples=[["14.96", "27.94", "46.93", "93.96"]],
        ),
    ]


class Scores(Struct, frozen=True, kw_only=True):
    """Customers by score, 1 to 5."""

    recency: Annotated[
        list[int],
        Meta(description="By recency score.", examples=[[4690, 4661, 4570, 4878, 4771]]),
    ]
    frequency: Annotated[
        list[int],
        Meta(description="By frequency score.", examples=[[13954, 0, 4495, 2090, 3031]]),
    ]
    monetary: Annotated[
        list[int],
        Meta(description="By monetary score.", examples=[[4875, 4554, 4713, 4714, 4714]]),
    ]


class Box(Struct, frozen=True, kw_only=True):
    """One of the 25 combinations of scores."""

    r: Annotated[int, Meta(description="Recency score.", examples=[5])]
    fm: Annotated[int, Meta(description="Mean of frequency and monetary score.", examples=[5])]
    segment: Segment
    of_them_new: Annotated[
        int | None,
        Meta(
            description="At `new`: those whose first order is recent; the others are promising.",
            examples=[None],
        ),
    ]
    customers: Annotated[int, Meta(description="Customers in it.", examples=[3012])]
    revenue: Annotated[MoneyJson, Meta(description="Their revenue in the window.")]


class SegmentTally(Struct, frozen=True, kw_only=True):
    """One of the 11 segments."""

    segment: Segment
    shopify: Annotated[
        str, Meta(description="Shopify's name of it (RFM group).", examples=["CHAMPIONS"])
    ]
    customers: Annotated[int, Meta(description="Customers in it.", examples=[4142])]
    share: Annotated[float, Meta(description="Their share of all.", examples=[0.1757])]
    revenue: Annotated[MoneyJson, Meta(description="Their revenue in the window.")]
    revenue_share: Annotated[
        float | None,
        Meta(description="Its share of all revenue; null without revenue.", examples=[0.5213]),
    ]


class ChurnRate(Struct, frozen=True, kw_only=True):
    """Customers who are taken to be lost."""

    after_days: Annotated[
        int, Meta(description="Days without an order that make a customer lost.", examples=[180])
    ]
    customers: Annotated[int, Meta(description="Customers who are.", examples=[16289])]
    of: Annotated[int, Meta(description="All customers ever.", examples=[23570])]
    rate: Annotated[
        float | None,
        Meta(description="One by the other; null before the first.", examples=[0.6911]),
    ]


class LargestCustomer(Struct, frozen=True, kw_only=True):
    """The customer with most revenue in the window."""

    revenue: Annotated[MoneyJson, Meta(description="Theirs in the window.")]
    share: Annotated[float, Meta(description="Its share of all revenue.", examples=[0.0031])]
    note: Annotated[
        str | None,
        Meta(description="Where it is so large that averages follow it.", examples=[None]),
    ]


class CappedLtv(Struct, frozen=True, kw_only=True):
    """The same with a bounded lifespan."""

    lifespan_years: Annotated[float, Meta(description="At most 3 years.", examples=[1.447])]
    ltv: Annotated[MoneyJson, Meta(description="Lifetime value with that lifespan.")]


class SimpleLtv(Struct, frozen=True, kw_only=True):
    """Lifetime value by the plain formula: order value times frequency times lifespan."""

    average_order_value: Annotated[MoneyJson, Meta(description="Revenue per order in the window.")]
    average_frequency: Annotated[
        float, Meta(description="Orders per customer in the window.", examples=[2.0826])
    ]
    lifespan_years: Annotated[
        float, Meta(description="1 by the churn rate; 3 where nobody is lost.", examples=[1.447])
    ]
    ltv: Annotated[MoneyJson, Meta(description="What a customer is worth by that.")]
    capped: Annotated[CappedLtv, Meta(description="The same with a bounded lifespan.")]
    history_days: Annotated[
        int | None, Meta(description="Days since the first order that is known.", examples=[700])
    ]
    note: Annotated[
        str,
        Meta(
            description="When the two differ.",
            examples=["lifespan = 1 / churn rate grows without bound as churn nears zero"],
        ),
    ]


class BgNbdFit(Struct, frozen=True, kw_only=True):
    """Parameters of the purchase model (Fader, Hardie and Lee 2005)."""

    r: Annotated[float, Meta(description="Shape of the purchase rates.", examples=[0.2516])]
    alpha: Annotated[float, Meta(description="Scale of the purchase rates.", examples=[4.7889])]
    a: Annotated[float, Meta(description="First parameter of dropping out.", examples=[0.7234])]
    b: Annotated[float, Meta(description="Second parameter of dropping out.", examples=[2.1611])]
    log_likelihood: Annotated[float, Meta(description="How well it fits.", examples=[-95368.4])]


class GammaGammaFit(Struct, frozen=True, kw_only=True):
    """Parameters of the spend model (Fader and Hardie 2013)."""

    p: Annotated[float, Meta(description="Shape of an order's value.", examples=[6.275])]
    q: Annotated[float, Meta(description="Shape of customers' means.", examples=[3.624])]
    v: Annotated[float, Meta(description="Scale of customers' means.", examples=[14.984])]
    log_likelihood: Annotated[float, Meta(description="How well it fits.", examples=[-34187.2])]
    correlation: Annotated[
        float | None,
        Meta(
            description="Between orders and spend per order; the model supposes none.",
            examples=[0.11],
        ),
    ]


class SpendPerOrder(Struct, frozen=True, kw_only=True):
    """What an order of a customer without a repeat order is expected to be worth."""

    mean: Annotated[MoneyJson, Meta(description="Its expected value.")]
    counts_for_orders: Annotated[
        float | None,
        Meta(
            description="For how many of a customer's own orders it counts; null where their own"
            " orders count for nothing.",
            examples=[0.42],
        ),
    ]
    note: Annotated[
        str | None,
        Meta(description="Where it is not the spend model's own mean, why.", examples=[None]),
    ]


class PredictedLtv(Struct, frozen=True, kw_only=True):
    """Lifetime value predicted by BG/NBD and Gamma-Gamma."""

    horizon_days: Annotated[int, Meta(description="Days that it looks ahead.", examples=[365])]
    margin: Annotated[
        float, Meta(description="What part of revenue counts as value.", examples=[1.0])
    ]
    ltv: Annotated[MoneyJson | None, Meta(description="Per customer ever.")]
    total: Annotated[MoneyJson | None, Meta(description="Of all customers.")]
    expected_orders: Annotated[
        float | None,
        Meta(description="Orders expected of a customer in that time.", examples=[0.69]),
    ]
    bg_nbd: Annotated[BgNbdFit | None, Meta(description="The purchase model.")]
    gamma_gamma: Annotated[
        GammaGammaFit | None, Meta(description="The spend model; null where it does not hold.")
    ]
    spend_per_order: Annotated[
        SpendPerOrder | None, Meta(description="What the spend model comes to.")
    ]
    time_unit: Annotated[
        str, Meta(description="Unit of the purchase model's times.", examples=["week"])
    ]
    fitted_at: Annotated[
        str,
        Meta(description="When the models were fitted.", examples=["2026-11-22T14:58:00.000Z"]),
    ]
    reason: Reason


class RfmOverview(Struct, frozen=True, kw_only=True):
    """Customers by recency, frequency and monetary; churn; lifetime value."""

    window_days: Annotated[
        int, Meta(description="Days that recency, frequency and monetary are of.", examples=[365])
    ]
    customers: Annotated[Customers, Meta(description="How many customers there are.")]
    orders: Annotated[int, Meta(description="Orders in the window.", examples=[49086])]
    revenue: Annotated[MoneyJson | None, Meta(description="Revenue in the window.")]
    left_out: Annotated[LeftOut, Meta(description="Orders that belong to no customer.")]
    other_currency_orders: Annotated[
        int, Meta(description="Orders in another currency, which are not counted.", examples=[0])
    ]
    amounts: Annotated[
        str,
        Meta(
            description="How exact revenue by score is: `exact`, or the width of its bins.",
            examples=["exact"],
        ),
    ]
    cutoffs: Annotated[
        Cutoffs | None, Meta(description="The values between scores; null with too few customers.")
    ]
    scores: Annotated[
        Scores | None, Meta(description="Customers by score; null with too few customers.")
    ]
    grid: Annotated[
        list[Box] | None,
        Meta(description="All 25 boxes, the best first; null with too few customers."),
    ]
    segments: Annotated[
        list[SegmentTally] | None,
        Meta(description="All 11 segments; null with too few customers."),
    ]
    churn: Annotated[ChurnRate, Meta(description="Customers who are taken to be lost.")]
    largest_customer: Annotated[
        LargestCustomer | None,
        Meta(description="The customer with most revenue; null without revenue."),
    ]
    ltv_simple: Annotated[
        SimpleLtv | None, Meta(description="By the plain formula; null without an order.")
    ]
    ltv_predicted: Annotated[PredictedLtv, Meta(description="By the models.")]
    ltv_first_orders: Annotated[
        FirstOrdersLtv, Meta(description="Of new customers, by their first order.")
    ]
    reason: Reason


class CustomerLtv(Struct, frozen=True, kw_only=True):
    """What one customer is expected to bring."""

    p_alive: Annotated[
        float | None,
        Meta(description="Probability that the customer will order again.", examples=[0.97]),
    ]
    expected_orders: Annotated[
        float | None, Meta(description="Orders expected in the horizon.", examples=[2.31])
    ]
    value: Annotated[MoneyJson | None, Meta(description="What they are expected to be worth.")]
    note: Annotated[str | None, Meta(description="What to know about `p_alive`.", examples=[None])]
    reason: Reason


class RfmCustomer(Struct, frozen=True, kw_only=True):
    """One customer."""

    id: Annotated[
        str,
        Meta(
            description="Shopify's customer id, or `g:` and a hash for a guest.",
            examples=["706405506930370084"],
        ),
    ]
    guest: Annotated[
        bool, Meta(description="Whether an e-mail hash is all that is known.", examples=[False])
    ]
    recency_days: Annotated[int, Meta(description="Days since the last order.", examples=[12])]
    frequency: Annotated[int, Meta(description="Orders in the window.", examples=[4])]
    monetary: Annotated[MoneyJson, Meta(description="Revenue in the window.")]
    r: Score
    f: Score
    m: Score
    fm: Score
    segment: Annotated[
        str | None,
        Meta(description="The segment; null where `reason` says so.", examples=["champions"]),
    ]
    first_order_day: Annotated[
        str, Meta(description="Day of the first order ever.", examples=["2025-12-24"])
    ]
    last_order_day: Annotated[
        str, Meta(description="Day of the last order.", examples=["2026-11-10"])
    ]
    ltv_predicted: Annotated[CustomerLtv, Meta(description="What is expected of the customer.")]
    reason: Reason


class RfmCustomers(Struct, frozen=True, kw_only=True):
    """A page of customers."""

    items: Annotated[list[RfmCustomer], Meta(description="The customers, best first.")]
    next_cursor: Annotated[
        str | None,
        Meta(description="What `cursor` is for the next page; null on the last.", examples=[None]),
    ]
    reason: Annotated[
        str | None, Meta(description="Why nobody has a score, where so.", examples=[None])
    ]
