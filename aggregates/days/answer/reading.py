"""Reads shop-days from the store: sales, ad costs, and carts."""

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from operator import add
from typing import Final, NamedTuple

from aggregates.budget.answer.campaigns import BudgetCell, CampaignDays, account, names_of
from aggregates.budget.answer.reading import read_cells
from aggregates.budget.answer.window import Window
from aggregates.carts.answer.figures import figures
from aggregates.carts.cells import NOT_RECOVERED
from aggregates.days.fold.projection import NAME
from aggregates.question import Question
from processors.engine.projection import live_key
from processors.orders.shop import offsets
from stream.store.contract import Reading, Snapshot
from stream.times import EPOCH

HOUR_S: Final = 3_600
META: Final = "meta"
"""The account whose events `sent` counts."""
UNNAMED: Final = "(none)"
REST: Final = "(other)"


class Sums(NamedTuple):
    """The measures of `day_cell`."""

    orders: int = 0
    revenue: int = 0
    refunds: int = 0
    new_customers: int = 0
    new_revenue: int = 0
    returning_revenue: int = 0

    def plus(self, other: "Sums") -> "Sums":
        """Both together."""
        return Sums(*map(add, self, other))


class DayPlace(NamedTuple):
    """A day, and the value of the dimension asked for."""

    day: int
    value: str


Sold = dict[DayPlace, Sums]


def read_sales(reading: Reading, shop: str, by: str, currency: str, window: Window) -> Sold:
    """What was sold by day and value of a dimension ("" for none)."""
    rows = reading.query(
        f"SELECT day, value, {', '.join(Sums._fields)} FROM day_cell"
        " WHERE shop = :shop AND by_what = :by AND day >= :first AND day <= :last"
        " AND currency = :currency AND orders <> 0",
        shop=live_key(reading, shop, NAME),
        by=by,
        first=window.first,
        last=window.last,
        currency=currency,
    )
    return {DayPlace(day, value): Sums(*measures) for day, value, *measures in rows}


def other_currency_orders(reading: Reading, shop: str, currency: str, window: Window) -> int:
    """Orders of those days in another currency."""
    rows = reading.query(
        "SELECT SUM(orders) FROM day_cell WHERE shop = :shop AND by_what = '' AND day >= :first"
        " AND day <= :last AND currency <> :currency",
        shop=live_key(reading, shop, NAME),
        first=window.first,
        last=window.last,
        currency=currency,
    )
    return int(rows[0][0] or 0)


class Costs(NamedTuple):
    """Ad costs, minor units; `reported` are the days with a report in the shop's currency."""

    by_place: dict[DayPlace, int]
    by_day: Counter[int]
    reported: frozenset[int]
    foreign: bool
    """Whether there are reports in another currency, which are left out."""


Name = Callable[[str], str]
"""An order's attribution, as cells have it -> the campaign's name in answers."""


def read_costs(reading: Snapshot, shop: str, currency: str, window: Window) -> tuple[Costs, Name]:
    """Spend by day, by campaign too, and how orders' campaigns are called."""
    cells = [each for each in read_cells(reading, shop, window) if each.reports]
    by_place: Counter[DayPlace] = Counter()
    by_day: Counter[int] = Counter()
    for campaign in account(cells, currency).campaigns:
        if campaign.spend_currency == currency:
            for day, spent in campaign.spend.items():
                by_place[DayPlace(day, _called(campaign))] += spent
                by_day[day] += spent
    foreign = any(each.currency != currency for each in cells)
    return Costs(dict(by_place), by_day, frozenset(by_day), foreign), _namer(cells)


def _namer(cells: list[BudgetCell]) -> Name:
    find = names_of(cells)

    def name(subject: str) -> str:
        channel, campaign_id, label = subject.split("\t")
        known = find(channel, campaign_id, label) if campaign_id or label else None
        return _called(known) if known else label or campaign_id or channel or UNNAMED

    return name


def _called(campaign: CampaignDays) -> str:
    return campaign.name or campaign.campaign_id or campaign.channel


def named(sold: Sold, name: Name) -> Sold:
    """Sales by campaign, under the campaigns' names."""
    found: defaultdict[DayPlace, Sums] = defaultdict(Sums)
    for (day, subject), sums in sold.items():
        place = DayPlace(day, name(subject))
        found[place] = found[place].plus(sums)
    return dict(found)


def largest(sold: Sold, costs: Costs | None, most: int) -> tuple[Sold, dict[DayPlace, int]]:
    """The values with most revenue and spend; the others together as `REST`."""
    weight: Counter[str] = Counter()
    for place, sums in sold.items():
        weight[place.value] += sums.revenue
    spend = costs.by_place if costs is not None else {}
    for place, spent in spend.items():
        weight[place.value] += spent
    kept = {
        value for value, _ in sorted(weight.items(), key=lambda each: (-each[1], each[0]))[:most]
    }
    few: defaultdict[DayPlace, Sums] = defaultdict(Sums)
    for place, sums in sold.items():
        at = place if place.value in kept else place._replace(value=REST)
        few[at] = few[at].plus(sums)
    spent_at: Counter[DayPlace] = Counter()
    for place, spent in spend.items():
        spent_at[place if place.value in kept else place._replace(value=REST)] += spent
    return dict(few), dict(spent_at)


class DayCarts(NamedTuple):
    """Checkouts by the day on which they were left."""

    abandoned: Counter[int]
    recovered: Counter[int]


def read_carts(question: Question) -> DayCarts:
    """From the hours (UTC) in which they were left, those still open included; days are the shop's.

    An hour is of the day in which it begins: a zone that is half an hour off misplaces half of one.
    """
    reading, shop, zone = question.reading, question.shop, question.settings.zone
    zone = zone or timezone(timedelta(seconds=offsets(reading, {shop}).get(shop, 0)))
    carts = DayCarts(Counter(), Counter())
    found = figures(reading, shop, question.now_ms, question.settings.carts)
    if found is None:
        return carts
    columns = (found.cohort_hour, found.cohort_outcome, found.cohort_carts)
    for hour, outcome, count in zip(*(each.tolist() for each in columns), strict=True):
        moment = datetime.fromtimestamp(hour * HOUR_S, zone)
        day = moment.toordinal() - EPOCH.toordinal()
        carts.abandoned[day] += count
        carts.recovered[day] += count if outcome != NOT_RECOVERED else 0
    return carts


class Sent(NamedTuple):
    """Purchase events that Meta has taken, by the day of their orders; minor units."""

    events: Counter[int]
    value: Counter[int]
    since: int | None
    """The first day of which all are known; None: of every day."""


def read_sent(question: Question, currency: str, window: Window) -> Sent:
    """From the deliveries' cells: of rows that are there, and of rows that are gone."""
    place = {"shop": question.shop, "destination": META}
    since = question.reading.query(
        "SELECT sent_since_day FROM destination_account"
        " WHERE shop = :shop AND destination = :destination",
        **place,
    )
    sent = Sent(Counter(), Counter(), since[0].sent_since_day if since else None)
    wanted = (
        "WHERE shop = :shop AND destination = :destination AND event_name = 'Purchase'"
        " AND day >= :first AND day <= :last AND currency = :currency"
    )
    rows = question.reading.query(
        f"SELECT day, events, value FROM outbox_day_cell {wanted}"
        f" UNION ALL SELECT day, events, value FROM outbox_past_day_cell {wanted}",
        **place,
        first=window.first,
        last=window.last,
        currency=currency,
    )
    for day, events, value in rows:
        sent.events[day] += events
        sent.value[day] += value
    return sent
