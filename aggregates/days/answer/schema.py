"""The answers of `GET /v1/days` and `GET /v1/rfm/cohorts`, member by member."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from aggregates.paging import NextCursor
from stream.money import MoneyJson


class DayTotals(Struct, frozen=True, kw_only=True):
    """All days of the answer together."""

    orders: Annotated[int, Meta(description="Orders that count.", examples=[1204])]
    revenue: Annotated[MoneyJson, Meta(description="What the merchant keeps of them.")]
    refunds: Annotated[MoneyJson, Meta(description="Money given back, by the order's day.")]
    new_customers: Annotated[
        int, Meta(description="Customers whose first order it was.", examples=[351])
    ]
    new_revenue: Annotated[MoneyJson, Meta(description="Revenue of first orders.")]
    returning_revenue: Annotated[MoneyJson, Meta(description="Revenue of later orders.")]
    new_customer_share: Annotated[
        float | None,
        Meta(description="Share of orders that were their customer's first.", examples=[0.29]),
    ]
    spend: Annotated[
        MoneyJson | None, Meta(description="What ads cost; null where no report came.")
    ]
    roas: Annotated[
        float | None,
        Meta(description="Revenue by spend, of the days with a report.", examples=[2.4]),
    ]


class Day(Struct, frozen=True, kw_only=True):
    """One day; of one channel, country or campaign where asked for."""

    day: Annotated[str, Meta(description="The shop's day.", examples=["2026-11-26"])]
    by: Annotated[
        dict[str, str],
        Meta(description="The dimension and its value; empty where not asked for."),
    ]
    orders: Annotated[int | UnsetType, Meta(description="Orders that count.", examples=[41])] = (
        UNSET
    )
    revenue: Annotated[
        MoneyJson | UnsetType,
        Meta(description="What the merchant keeps of them, by the order's day."),
    ] = UNSET
    new_customers: Annotated[
        int | UnsetType, Meta(description="Customers whose first order it was.", examples=[12])
    ] = UNSET
    new_revenue: Annotated[MoneyJson | UnsetType, Meta(description="Revenue of first orders.")] = (
        UNSET
    )
    returning_revenue: Annotated[
        MoneyJson | UnsetType,
        Meta(description="Revenue of later orders; orders of nobody known are in neither."),
    ] = UNSET
    refunds: Annotated[
        MoneyJson | UnsetType,
        Meta(description="Money given back, by the order's day; `revenue` lacks it already."),
    ] = UNSET
    sent: Annotated[
        int | UnsetType | None,
        Meta(description="Purchase events that Meta has taken, by the order's day.", examples=[40]),
    ] = UNSET
    value_sent: Annotated[
        MoneyJson | UnsetType | None, Meta(description="The totals of their orders.")
    ] = UNSET
    carts_abandoned: Annotated[
        int | UnsetType | None,
        Meta(description="Checkouts that were left on this day.", examples=[61]),
    ] = UNSET
    carts_recovered: Annotated[
        int | UnsetType | None,
        Meta(description="Those of them that became an order since.", examples=[4]),
    ] = UNSET
    spend: Annotated[
        MoneyJson | UnsetType | None,
        Meta(description="What ads cost; null where no report came for the day."),
    ] = UNSET
    roas: Annotated[
        float | UnsetType | None, Meta(description="Revenue by spend.", examples=[2.4])
    ] = UNSET


class Days(Struct, frozen=True, kw_only=True):
    """Days, newest first."""

    items: Annotated[list[Day], Meta(description="Newest day first; of a day the most revenue.")]
    next_cursor: NextCursor
    total: Annotated[DayTotals | None, Meta(description="All days; null before any order.")]
    other_currency_orders: Annotated[
        int, Meta(description="Orders in another currency, which are not counted.", examples=[0])
    ]
    reasons: Annotated[
        list[str], Meta(description="Why numbers are null, in words.", examples=[[]])
    ]


class Cohort(Struct, frozen=True, kw_only=True):
    """Customers by the month of their first order."""

    cohort: Annotated[str, Meta(description="That month.", examples=["2026-01"])]
    by: Annotated[
        dict[str, str],
        Meta(description="Where the first order came from; empty where not asked for."),
    ]
    customers: Annotated[int, Meta(description="How many they are.", examples=[812])]
    retention: Annotated[
        list[float],
        Meta(
            description="Share of them who ordered in each month, the first one first; the last"
            " month is not over.",
            examples=[[1.0, 0.18]],
        ),
    ]
    revenue_per_customer: Annotated[
        list[str],
        Meta(
            description="What each has brought by the end of each month, in `currency`.",
            examples=[["41.20", "48.77"]],
        ),
    ]
    spend: Annotated[
        MoneyJson | None,
        Meta(description="What ads cost in that month; null where no report came."),
    ]
    cac: Annotated[MoneyJson | None, Meta(description="Spend per new customer.")]
    ltv_to_cac: Annotated[
        float | None,
        Meta(description="Revenue per customer so far, times the margin, by CAC.", examples=[1.4]),
    ]
    payback_months: Annotated[
        int | None,
        Meta(
            description="Months until revenue per customer, times the margin, covers CAC; null"
            " where it does not yet.",
            examples=[3],
        ),
    ]


class Cohorts(Struct, frozen=True, kw_only=True):
    """Customers by the month of their first order, newest first."""

    items: Annotated[list[Cohort], Meta(description="Newest cohort first.")]
    next_cursor: NextCursor
    currency: Annotated[
        str | None, Meta(description="Of `revenue_per_customer`.", examples=["USD"])
    ]
    margin: Annotated[
        float | None,
        Meta(
            description="`AD_MARGIN`, by which revenue pays for ads; null counts revenue itself.",
            examples=[0.4],
        ),
    ]
    customers: Annotated[int, Meta(description="Customers ever.", examples=[23570])]
    repeat_rate: Annotated[
        float | None,
        Meta(description="Share of them who ordered on another day again.", examples=[0.41]),
    ]
    days_between_orders: Annotated[
        float | None,
        Meta(description="Days between purchases, mean of all repeats.", examples=[63.2]),
    ]
    reason: Annotated[str | None, Meta(description="Why there is nothing, if so.", examples=[None])]
