"""`GET /v1/days`: shop-days, whole or by channel, country or campaign."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from msgspec import UNSET

from aggregates.bad_parameter import BadParameter
from aggregates.budget.answer.window import Window
from aggregates.days.answer import reading as read
from aggregates.days.answer.reading import Costs, DayCarts, DayPlace, Sent, Sold, Sums
from aggregates.days.answer.schema import Day, Days, DayTotals
from aggregates.days.fold.cells import CAMPAIGN
from aggregates.paging import Place, page
from aggregates.question import Question
from processors.orders.currency import currency_of_most
from stream.money import money
from stream.times import day_text

DEFAULT_DAYS: Final = 30
MOST_DAYS: Final = 400
MOST_VALUES: Final = 25
"""Values of a dimension that an answer lists, by revenue."""
METRICS: Final = (
    *("orders", "revenue", "new_customers", "new_revenue", "returning_revenue", "refunds"),
    *("sent", "value_sent", "carts_abandoned", "carts_recovered", "spend", "roas"),
)
NOTHING_YET: Final = "no order that counts was folded for this shop yet"
NO_REPORT: Final = "no spend report came for some of these days: their spend is null"
ONE_DAY_ONLY: Final = (
    "carts, and what was sent, are counted by whole days only: ask without `by` for them"
)
FOREIGN_SPEND: Final = "spend that was reported in another currency than the shop's is left out"
SENT_SINCE: Final = "what was sent is known from {day} on: it was not counted by day before"
SPEND_BY: Final = "spend is known by campaign only: ask with `by=campaign`, or without `by`"


def window_of(first: int | None, last: int | None, today: int) -> Window:
    """The days asked for. Raises BadParameter."""
    last = today if last is None else last
    first = last - DEFAULT_DAYS + 1 if first is None else first
    if not 0 <= last - first < MOST_DAYS:
        raise BadParameter(
            "from",
            f"from {day_text(first)} to {day_text(last)} are not 1 to {MOST_DAYS} days",
            f"a day up to {MOST_DAYS - 1} days before `to`",
        )
    return Window(first, last)


def days(question: Question) -> Days:
    """The answer without `shop` and `as_of`."""
    values, shop = question.values, question.shop
    window = window_of(values["from"], values["to"], question.today)
    by, metrics = values["by"] or "", values["metrics"] or METRICS
    currency = question.settings.budget.currency or currency_of_most(question.reading, shop)
    if not currency:
        return Days(
            items=[], next_cursor=None, total=None, other_currency_orders=0, reasons=[NOTHING_YET]
        )
    sold = read.read_sales(question.reading, shop, by, currency, window)
    costs, name = read.read_costs(question.reading, shop, currency, window)
    whole = _sum(sold)
    if by == CAMPAIGN:
        sold = read.named(sold, name)
    spend = costs.by_place
    if by:
        sold, spend = read.largest(sold, costs if by == CAMPAIGN else None, MOST_VALUES)
    carts = None if by else read.read_carts(question)
    wanted = not by and not {"sent", "value_sent"}.isdisjoint(metrics)
    sent = read.read_sent(question, currency, window) if wanted else None
    rows, following = page(list(_rows(sold, spend, by, window)), _place, values)
    items = [
        _item(place, sums, by, metrics, currency, _spent(place, by, spend, costs), carts, sent)
        for place, sums in rows
    ]
    return Days(
        items=items,
        next_cursor=following,
        total=_total(whole, sold, costs, by, currency, window),
        other_currency_orders=read.other_currency_orders(question.reading, shop, currency, window),
        reasons=_reasons(by, metrics, costs, window, sent),
    )


def _rows(
    sold: Sold, spend: dict[DayPlace, int], by: str, window: Window
) -> Iterator[tuple[DayPlace, Sums]]:
    """Newest day first; without a dimension every day, with one what there is."""
    if not by:
        for day in reversed(window.days()):
            yield DayPlace(day, ""), sold.get(DayPlace(day, ""), Sums())
        return
    places = sold.keys() | (spend.keys() if by == CAMPAIGN else set())
    ranked = [(place, sold.get(place, Sums())) for place in places]
    yield from sorted(ranked, key=lambda each: (-each[0].day, -each[1].revenue, each[0].value))


def _place(each: tuple[DayPlace, Sums]) -> Place:
    place, sums = each
    return -place.day, -sums.revenue, place.value


def _spent(place: DayPlace, by: str, spend: dict[DayPlace, int], costs: Costs) -> int | None:
    if place.day not in costs.reported or by not in ("", CAMPAIGN):
        return None
    return costs.by_day[place.day] if not by else spend.get(place)


def _item(
    place: DayPlace,
    sums: Sums,
    by: str,
    metrics: Sequence[str],
    currency: str,
    spent: int | None,
    carts: DayCarts | None,
    sent: Sent | None,
) -> Day:
    known = sent if sent is not None and place.day >= (sent.since or place.day) else None
    found: dict[str, Any] = {
        "orders": sums.orders,
        "revenue": money(sums.revenue, currency),
        "new_customers": sums.new_customers,
        "new_revenue": money(sums.new_revenue, currency),
        "returning_revenue": money(sums.returning_revenue, currency),
        "refunds": money(sums.refunds, currency),
        "sent": None if known is None else known.events[place.day],
        "value_sent": None if known is None else money(known.value[place.day], currency),
        "carts_abandoned": None if carts is None else carts.abandoned[place.day],
        "carts_recovered": None if carts is None else carts.recovered[place.day],
        "spend": None if spent is None else money(spent, currency),
        "roas": sums.revenue / spent if spent else None,
    }
    return Day(
        day=day_text(place.day),
        by={by: place.value or read.UNNAMED} if by else {},
        **{metric: found[metric] if metric in metrics else UNSET for metric in METRICS},
    )


def _sum(sold: Sold) -> Sums:
    found = Sums()
    for sums in sold.values():
        found = found.plus(sums)
    return found


def _total(
    whole: Sums, sold: Sold, costs: Costs, by: str, currency: str, window: Window
) -> DayTotals:
    spent = sum(costs.by_day.values()) if costs.reported else None
    reported = sum(sums.revenue for place, sums in sold.items() if place.day in costs.reported)
    return DayTotals(
        orders=whole.orders,
        revenue=money(whole.revenue, currency),
        refunds=money(whole.refunds, currency),
        new_customers=whole.new_customers,
        new_revenue=money(whole.new_revenue, currency),
        returning_revenue=money(whole.returning_revenue, currency),
        new_customer_share=whole.new_customers / whole.orders if whole.orders else None,
        spend=None if spent is None else money(spent, currency),
        roas=reported / spent if spent else None,
    )


def _reasons(
    by: str, metrics: Sequence[str], costs: Costs, window: Window, sent: Sent | None
) -> list[str]:
    asked = set(metrics)
    found = []
    if by and asked & {"sent", "value_sent", "carts_abandoned", "carts_recovered"}:
        found.append(ONE_DAY_ONLY)
    if sent is not None and sent.since is not None and window.first < sent.since:
        found.append(SENT_SINCE.format(day=day_text(sent.since)))
    if asked & {"spend", "roas"}:
        if by not in ("", CAMPAIGN):
            found.append(SPEND_BY)
        elif costs.foreign:
            found.append(FOREIGN_SPEND)
        elif any(day not in costs.reported for day in window.days()):
            found.append(NO_REPORT)
    return found
