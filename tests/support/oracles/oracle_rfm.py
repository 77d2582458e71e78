"""Brute force for /v1/rfm: every number of the answer from a plain list of orders, customer by
customer, without `query`: no cells, and another optimiser on another form of the likelihood. Money
is integer minor units, days are whole days since 1970-01-01."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil
from typing import NamedTuple, TypeAlias

import numpy as np
from scipy import optimize
from scipy.special import gammaln, hyp2f1

GRID = {
    5: "new potential_loyalist potential_loyalist champions champions",
    4: "promising potential_loyalist potential_loyalist loyal loyal",
    3: "about_to_sleep about_to_sleep need_attention loyal loyal",
    2: "hibernating hibernating at_risk at_risk cant_lose",
    1: "lost lost at_risk at_risk cant_lose",
}
NAMES = sorted({name for row in GRID.values() for name in row.split()})

Vector: TypeAlias = np.ndarray[tuple[int], np.dtype[np.float64]]


class Order(NamedTuple):
    """A counted order (neither test, cancelled nor voided): its customer, shop-local day, and
    amount net of refunds."""

    customer: str
    day: int
    cents: int


class Scored(NamedTuple):
    recency_days: int
    orders: int
    cents: int
    r: int
    f: int
    m: int
    fm: int
    segment: str


@dataclass
class Answer:
    """The numbers of /v1/rfm under their names there; scores and grid None below five customers."""

    customers_ever: int
    customers_in_window: int
    orders: int
    revenue: int
    churned: int
    churn_rate: float | None
    average_order_value: float | None = None
    average_frequency: float | None = None
    lifespan_years: float | None = None
    ltv: float | None = None
    capped_ltv: float | None = None
    recency_cutoffs: list[int] | None = None
    frequency_cutoffs: list[int] | None = None
    monetary_cutoffs: list[int] | None = None
    recency_scores: list[int] | None = None
    frequency_scores: list[int] | None = None
    monetary_scores: list[int] | None = None
    grid: dict[tuple[int, int], tuple[int, int]] | None = None  # (r, fm) -> customers, revenue
    segments: dict[str, tuple[int, int]] | None = None
    scored: dict[str, Scored] = field(default_factory=dict)
    first_ever: dict[str, int] = field(default_factory=dict)
    """By customer, whenever it was."""


def percentile_disc(values: Iterable[int]) -> list[int]:
    """The ceil(k n / 5)-th smallest, k = 1..4."""
    ordered = sorted(values)
    return [ordered[ceil(Fraction(k * len(ordered), 5)) - 1] for k in range(1, 5)]


def rfm_of(
    orders: Iterable[Order],
    asof_day: int,
    *,
    window_days: int = 365,
    churned_after_days: int = 180,
    round_money: Callable[[int], int] = lambda cents: cents,
    orders_cap: int | None = 32,
) -> Answer:
    """The answer at the end of `asof_day`; `round_money` maps a customer's cents to what its cell
    carries (its bin's edge).

    Orders after `asof_day` have not happened yet.
    """
    happened = [order for order in orders if order.day <= asof_day]
    last_ever: dict[str, int] = {}
    recent: dict[str, list[Order]] = defaultdict(list)
    for order in happened:
        last_ever[order.customer] = max(order.day, last_ever.get(order.customer, order.day))
        if order.day > asof_day - window_days:
            recent[order.customer].append(order)
    churned = sum(asof_day - day > churned_after_days for day in last_ever.values())
    answer = Answer(
        customers_ever=len(last_ever),
        customers_in_window=len(recent),
        orders=sum(len(own) for own in recent.values()),
        revenue=sum(order.cents for own in recent.values() for order in own),
        churned=churned,
        churn_rate=churned / len(last_ever) if last_ever else None,
    )
    if not recent:
        return answer
    answer.average_order_value = answer.revenue / answer.orders
    answer.average_frequency = answer.orders / len(recent)
    answer.lifespan_years = 1 / answer.churn_rate if answer.churn_rate else 3.0
    a_year = answer.revenue / len(recent) / window_days * 365
    answer.ltv, answer.capped_ltv = (
        a_year * answer.lifespan_years,
        a_year * min(answer.lifespan_years, 3.0),
    )
    if len(recent) < 5:
        return answer
    recency = {who: asof_day - max(order.day for order in own) for who, own in recent.items()}
    frequency = {who: min(len(own), orders_cap or len(own)) for who, own in recent.items()}
    spent = {who: sum(order.cents for order in own) for who, own in recent.items()}
    monetary = {who: round_money(cents) for who, cents in spent.items()}
    first_ever: dict[str, int] = {}
    for order in happened:
        first_ever[order.customer] = min(order.day, first_ever.get(order.customer, order.day))
    cut_r, cut_f, cut_m = (percentile_disc(by.values()) for by in (recency, frequency, monetary))
    for who in recent:
        r = 6 - (1 + sum(recency[who] > cut for cut in cut_r))
        f = 1 + sum(frequency[who] > cut for cut in cut_f)
        m = 1 + sum(monetary[who] > cut for cut in cut_m)
        fm = ceil(Fraction(f + m, 2))
        segment = GRID[r].split()[fm - 1]
        since_first = asof_day - first_ever[who]
        if segment == "new" and (recency[who] > 60 or since_first - recency[who] > 30):
            segment = "promising"
        answer.scored[who] = Scored(
            recency[who], len(recent[who]), spent[who], r, f, m, fm, segment
        )
    answer.recency_cutoffs, answer.frequency_cutoffs, answer.monetary_cutoffs = cut_r, cut_f, cut_m
    answer.recency_scores = _count(each.r for each in answer.scored.values())
    answer.frequency_scores = _count(each.f for each in answer.scored.values())
    answer.monetary_scores = _count(each.m for each in answer.scored.values())
    answer.grid = {
        (r, fm): _total(each for each in answer.scored.values() if (each.r, each.fm) == (r, fm))
        for r in range(1, 6)
        for fm in range(1, 6)
    }
    answer.first_ever = first_ever
    answer.segments = {
        name: _total(each for each in answer.scored.values() if each.segment == name)
        for name in NAMES
    }
    return answer


class Summary(NamedTuple):
    """One customer for the predictive models: weeks, and the mean spend of repeat days in minor
    units (0 where x = 0)."""

    x: int
    t_x: float
    T: float
    z: float


def summaries(orders: Iterable[Order], asof_day: int) -> dict[str, Summary]:
    """By customer; orders of one day merge into one purchase."""
    by_day: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for order in orders:
        if order.day <= asof_day:
            by_day[order.customer][order.day] += order.cents
    found = {}
    for who, spent in by_day.items():
        days = sorted(spent)
        x = len(days) - 1
        z = sum(spent[day] for day in days[1:]) / x if x else 0.0
        found[who] = Summary(x, (days[-1] - days[0]) / 7, (asof_day - days[0]) / 7, z)
    return found


class Predicted(NamedTuple):
    """Parameters (r, alpha, a, b) and (p, q, v), log-likelihoods, and over all customers the
    predicted value and orders."""

    bg_nbd: tuple[float, ...]
    bg_nbd_log_likelihood: float
    gamma_gamma: tuple[float, ...]
    total: float
    expected_orders: float


def predicted_of(
    customers: Iterable[Summary], horizon_days: float, margin: float = 1.0
) -> Predicted:
    """Both models by Nelder-Mead on the published formulas, one term per customer; money in the
    unit of z."""
    table = np.array([tuple(each) for each in customers], dtype=float)
    x, t_x, T, z = table.T

    def bg_nbd(logs: Vector) -> float:
        r, alpha, a, b = np.exp(logs)
        a1 = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
        a2 = gammaln(a + b) + gammaln(b + x) - gammaln(b) - gammaln(a + b + x)
        alive = -(r + x) * np.log(alpha + T)
        gone = np.log(a) - np.log(b + np.maximum(x, 1) - 1) - (r + x) * np.log(alpha + t_x)
        return -float(np.sum(a1 + a2 + np.where(x > 0, np.logaddexp(alive, gone), alive)))

    again = (x > 0) & (z > 0)
    xs, zs = x[again], z[again]

    def gamma_gamma(logs: Vector) -> float:
        p, q, v = np.exp(logs)
        terms = (
            gammaln(p * xs + q)
            - gammaln(p * xs)
            - gammaln(q)
            + q * np.log(v)
            + (p * xs - 1) * np.log(zs)
        )
        return -float(np.sum(terms + p * xs * np.log(xs) - (p * xs + q) * np.log(xs * zs + v)))

    first, second = (
        _nelder_mead(bg_nbd, [0.5, 5, 1, 2]),
        _nelder_mead(gamma_gamma, [5, 3, float(zs.mean())]),
    )
    (r, alpha, a, b), (p, q, v) = np.exp(first), np.exp(second)
    t = horizon_days / 7
    ahead = (a + b + x - 1) / (a - 1)
    ahead = ahead * (
        1
        - ((alpha + T) / (alpha + T + t)) ** (r + x)
        * hyp2f1(r + x, b + x, a + b + x - 1, t / (alpha + T + t))
    )
    odds = np.where(
        x > 0, a / (b + np.maximum(x, 1) - 1) * ((alpha + T) / (alpha + t_x)) ** (r + x), 0
    )
    expected = ahead / (1 + odds)
    value = expected * p * (v + x * z) / (p * x + q - 1)
    return Predicted(
        (r, alpha, a, b),
        -bg_nbd(first),
        (p, q, v),
        margin * float(value.sum()),
        float(expected.sum()),
    )


def _nelder_mead(loss: Callable[[Vector], float], start: list[float]) -> Vector:
    found: Vector = np.log(np.array(start, dtype=np.float64))
    for _ in range(
        2
    ):  # a second simplex around the first answer, since the first may have collapsed early
        found = optimize.fmin(
            loss, found, xtol=1e-7, ftol=1e-8, maxiter=5000, maxfun=5000, disp=False
        )
    return found


def _count(scores: Iterable[int]) -> list[int]:
    counted = Counter(scores)
    return [counted[score] for score in range(1, 6)]


def _total(customers: Iterable[Scored]) -> tuple[int, int]:
    kept = list(customers)
    return len(kept), sum(each.cents for each in kept)
