"""Churn and the specified simple lifetime value, over plain totals (docs/facts/analytics.md,
"Simple lifetime value")."""

from dataclasses import dataclass
from typing import Final

from aggregates.arrays import Ints

MAX_LIFESPAN_YEARS: Final = 3.0
YEAR_DAYS: Final = 365
NOTE: Final = (
    "lifespan = 1 / churn rate as specified grows without bound as churn nears zero; 'capped' is "
    "the same with a lifespan of at most 3 years, and differs only while under 1/3 of customers "
    "have churned"
)
SHORT: Final = (
    "; orders are known for {known} of the {window} days of the window only, so the frequency and"
    " the value are too low, and nobody can have churned who was not there"
)


@dataclass(frozen=True, slots=True)
class Churn:
    """`customers` of all `of` who ever ordered have not for more than `after_days` days; rate None
    without customers."""

    after_days: int
    customers: int
    of: int
    rate: float | None


@dataclass(frozen=True, slots=True)
class LtvSimple:
    """Money in (fractional) minor units, lifespans in years."""

    average_order_value: float
    average_frequency: float
    lifespan_years: float
    ltv: float
    capped_lifespan_years: float
    capped_ltv: float
    note: str


def churn(last_days: Ints, counts: Ints, asof_day: int, after_days: int = 180) -> Churn:
    """Churn from a histogram of all customers ever: `counts[i]` of them ordered last on day
    `last_days[i]`."""
    of = int(counts.sum())
    customers = int(counts[asof_day - last_days > after_days].sum())
    return Churn(after_days, customers, of, customers / of if of else None)


def ltv_simple(
    customers: int,
    orders: int,
    revenue: int,
    churn_rate: float | None,
    window_days: int = YEAR_DAYS,
    history_days: int | None = None,
) -> LtvSimple | None:
    """The specified formula on totals of the window; None if nobody ordered in it.

    Average order value x average frequency x lifespan, with lifespan = 1 / churn rate (3 years if
    nobody churned), as specified and with the lifespan capped at 3 years. `revenue` in minor units;
    `average_frequency` is orders per customer in the window. The note says if the shop's orders are
    known for less than the window.
    """
    if not customers or not orders:
        return None
    average_order_value, average_frequency = revenue / orders, orders / customers
    lifespan = 1 / churn_rate if churn_rate else MAX_LIFESPAN_YEARS
    capped = min(lifespan, MAX_LIFESPAN_YEARS)
    yearly = average_order_value * average_frequency * YEAR_DAYS / window_days
    note = NOTE
    if history_days is not None and history_days < window_days:
        note += SHORT.format(known=history_days, window=window_days)
    return LtvSimple(
        average_order_value,
        average_frequency,
        lifespan,
        yearly * lifespan,
        capped,
        yearly * capped,
        note,
    )
