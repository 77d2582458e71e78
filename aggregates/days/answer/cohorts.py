"""`GET /v1/rfm/cohorts`: customers by the month of their first order."""

from collections import Counter, defaultdict
from typing import Final, NamedTuple

from aggregates.budget.answer.window import Window
from aggregates.days.answer import reading as read
from aggregates.days.answer.schema import Cohort, Cohorts
from aggregates.days.fold.cells import CAMPAIGN
from aggregates.days.fold.projection import NAME
from aggregates.days.fold.sale import month_of
from aggregates.paging import Place, page
from aggregates.question import Question
from aggregates.rfm.fold.projection import NAME as RFM
from processors.engine.projection import live_key
from processors.orders.currency import currency_of_most
from stream.money import amount, money
from stream.store.contract import Reading, Snapshot
from stream.times import EPOCH

MOST_MONTHS: Final = 36
MOST_VALUES: Final = 10
NOTHING_YET: Final = "no order of a known customer was folded for this shop yet"


class Group(NamedTuple):
    """A cohort; with a dimension, of one value of it."""

    cohort: int
    value: str


class Bought(NamedTuple):
    """What a group did in one month."""

    customers: int
    revenue: int


Months = dict[int, Bought]
"""By months since the first."""


def cohorts(question: Question) -> Cohorts:
    """The answer without `shop` and `as_of`."""
    reading, shop, by = question.reading, question.shop, question.values["by"] or ""
    settings = question.settings.budget
    currency = settings.currency or currency_of_most(reading, shop)
    now = month_of(question.today)
    groups = _read(reading, shop, by, currency, now - MOST_MONTHS + 1) if currency else {}
    customers, repeat_rate, between = _repeats(reading, shop)
    margin = None if settings.margin is None else float(settings.margin)
    spend: dict[Group, int] = {}
    if groups:
        spend, name = _spend(reading, shop, currency, by, min(g.cohort for g in groups), question)
        if by == CAMPAIGN:
            groups = _renamed(groups, {g.value: name(g.value) for g in groups})
        groups, spend = _largest(groups, spend, by)

    def place(group: Group) -> Place:
        return -group.cohort, -_first(groups[group]), group.value

    # Without customers in its first month: all of them bought first in another currency.
    known = [group for group in sorted(groups, key=place) if _first(groups[group])]
    shown, following = page(known, place, question.values)
    items = [
        _item(group, groups[group], now, by, currency, spend.get(group), margin) for group in shown
    ]
    return Cohorts(
        items=items,
        next_cursor=following,
        currency=currency or None,
        margin=margin,
        customers=customers,
        repeat_rate=repeat_rate,
        days_between_orders=between,
        reason=None if known else NOTHING_YET,
    )


def _read(reading: Reading, shop: str, by: str, currency: str, since: int) -> dict[Group, Months]:
    rows = reading.query(
        "SELECT cohort, value, month, customers, revenue FROM cohort_cell WHERE shop = :shop"
        " AND by_what = :by AND currency = :currency AND cohort >= :since AND customers <> 0",
        shop=live_key(reading, shop, NAME),
        by=by,
        currency=currency,
        since=since,
    )
    found: defaultdict[Group, Months] = defaultdict(dict)
    for cohort, value, month, customers, revenue in rows:
        found[Group(cohort, value)][month - cohort] = Bought(customers, revenue)
    return dict(found)


def _first(months: Months) -> int:
    """Customers of the cohort: those of its first month."""
    return months[0].customers if 0 in months else 0


def _spend(
    reading: Snapshot, shop: str, currency: str, by: str, first: int, question: Question
) -> tuple[dict[Group, int], read.Name]:
    """What ads cost by month; of whole months, or by campaign."""
    window = Window(_day(first), question.today)
    costs, name = read.read_costs(reading, shop, currency, window)
    found: Counter[Group] = Counter()
    for place, spent in costs.by_place.items():
        if by in ("", CAMPAIGN):
            found[Group(month_of(place.day), place.value if by else "")] += spent
    return dict(found), name


def _day(month: int) -> int:
    """The first day of a month."""
    return (EPOCH.replace(year=month // 12, month=month % 12 + 1, day=1) - EPOCH).days


def _renamed(groups: dict[Group, Months], names: dict[str, str]) -> dict[Group, Months]:
    found: defaultdict[Group, Months] = defaultdict(dict)
    for group, months in groups.items():
        _add(found[group._replace(value=names[group.value])], months)
    return dict(found)


def _add(into: Months, months: Months) -> None:
    for age, bought in months.items():
        before = into.get(age, Bought(0, 0))
        into[age] = Bought(before.customers + bought.customers, before.revenue + bought.revenue)


def _largest(
    groups: dict[Group, Months], spend: dict[Group, int], by: str
) -> tuple[dict[Group, Months], dict[Group, int]]:
    """The values with most customers; the others together."""
    if not by:
        return groups, spend
    weight: Counter[str] = Counter()
    for group, months in groups.items():
        weight[group.value] += _first(months)
    ranked = sorted(weight.items(), key=lambda each: (-each[1], each[0]))
    kept = {value for value, _ in ranked[:MOST_VALUES]}
    few: defaultdict[Group, Months] = defaultdict(dict)
    cost: Counter[Group] = Counter()
    for group, months in groups.items():
        _add(few[group if group.value in kept else group._replace(value=read.REST)], months)
    for group, spent in spend.items():
        cost[group if group.value in kept else group._replace(value=read.REST)] += spent
    return dict(few), dict(cost)


def _item(
    group: Group,
    months: Months,
    now: int,
    by: str,
    currency: str,
    spent: int | None,
    margin: float | None,
) -> Cohort:
    customers, ages = _first(months), range(now - group.cohort + 1)
    per_customer, revenue = list[float](), 0
    for age in ages:
        revenue += months[age].revenue if age in months else 0
        per_customer.append(revenue / customers)
    cac = spent / customers if spent is not None else None
    worth = [each * (1.0 if margin is None else margin) for each in per_customer]
    return Cohort(
        cohort=f"{group.cohort // 12:04}-{group.cohort % 12 + 1:02}",
        by={by: group.value or read.UNNAMED} if by else {},
        customers=customers,
        retention=[months[age].customers / customers if age in months else 0.0 for age in ages],
        revenue_per_customer=[amount(round(each), currency) for each in per_customer],
        spend=None if spent is None else money(spent, currency),
        cac=None if cac is None else money(cac, currency),
        ltv_to_cac=worth[-1] / cac if cac and worth else None,
        payback_months=None
        if cac is None
        else next((age for age, each in enumerate(worth) if each >= cac), None),
    )


def _repeats(reading: Reading, shop: str) -> tuple[int, float | None, float | None]:
    """Number of customers, the share of them with another purchase day, and days between those;
    from RFM's cells."""
    ((customers, again, repeats, days),) = reading.query(
        "SELECT SUM(customers), SUM(CASE WHEN x > 0 THEN customers ELSE 0 END),"
        " SUM(x * customers), SUM((last_day - first_day) * customers + last_offset - first_offset)"
        " FROM rfm_btyd_cell WHERE shop = :shop",
        shop=live_key(reading, shop, RFM),
    )
    if not customers:
        return 0, None, None
    return int(customers), int(again) / int(customers), float(days / repeats) if repeats else None
