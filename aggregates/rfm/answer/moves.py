"""`GET /v1/rfm/moves`: which segment customers were in some days ago, and which they are in today.

A customer who neither bought nor lost an order from the window in between has the same cell on both
days, so those move as cells. Only the others are read, with their purchase days. What was known
late counts as if it had been known then: the past is that of the orders as they are now.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, Final, NamedTuple

import numpy as np
from msgspec import Meta, Struct, field

from aggregates.arrays import Ints
from aggregates.paging import NextCursor, Place, page
from aggregates.rfm.answer.overview import RfmSettings, RfmView
from aggregates.rfm.answer.scores import ScoreCutoffs, rfm, score_customer
from aggregates.rfm.fold.customer import MAX_ORDERS, DayRow, is_newcomer
from aggregates.rfm.fold.days import PURCHASE_DAYS, days_of
from aggregates.rfm.fold.money_bins import bin_edge
from stream.money import MoneyJson, money
from stream.store.contract import Reading

NOT_ENOUGH: Final = "fewer than 5 customers ordered in the window on one of the two days"


class SegmentMove(Struct, frozen=True, kw_only=True):
    """Customers who went from one segment to another."""

    from_: Annotated[
        str | None,
        Meta(
            description="The segment then; null for customers without an order in the window.",
            examples=["loyal"],
        ),
    ] = field(name="from")
    to: Annotated[
        str | None,
        Meta(
            description="The segment today; null for those whose orders have left the window.",
            examples=["at_risk"],
        ),
    ]
    customers: Annotated[int, Meta(description="How many they are.", examples=[14])]
    revenue: Annotated[
        MoneyJson, Meta(description="Their revenue in the window; then, for those who left.")
    ]


class Moves(Struct, frozen=True, kw_only=True):
    """Moves between segments, most customers first."""

    items: Annotated[list[SegmentMove], Meta(description="Most customers first.")]
    next_cursor: NextCursor
    days: Annotated[int, Meta(description="How many days ago `from` is.", examples=[7])]
    stayed: Annotated[
        int, Meta(description="Customers in the same segment on both days.", examples=[5120])
    ]
    reason: Annotated[str | None, Meta(description="Why nothing is said, if so.", examples=[None])]


class CustomerCell(NamedTuple):
    """A customer's cell (`RFM_CELLS`), with the measures of one customer."""

    last_day: int
    orders: int
    newcomer: int
    monetary: int
    order_count: int
    revenue: int


class ThenAndNow(NamedTuple):
    """A customer's cell then and now; None without an order in the window."""

    then: CustomerCell | None
    now: CustomerCell | None


def moves(
    reading: Reading, view: RfmView, day: int, settings: RfmSettings, values: Mapping[str, Any]
) -> Moves:
    """The answer without `shop` and `as_of`; `values` are the parameters."""
    days = values["days"]
    before, window = day - days, settings.window_days
    changed = [
        ThenAndNow(
            _place(rows, before, window, exact=view.exact),
            _place(rows, day, window, exact=view.exact),
        )
        for rows in _changed(reading, view.key, before, day, window)
    ]
    now = [*view.cells.key, *view.cells.measures]
    same = _summed(now, [(each.now, -1) for each in changed if each.now is not None])
    then = _summed(same, [(each.then, 1) for each in changed if each.then is not None])
    cutoffs_then = rfm(*then, asof_day=before).cutoffs if len(then[0]) else None
    cutoffs_now = rfm(*now, asof_day=day).cutoffs if len(now[0]) else None
    if cutoffs_then is None or cutoffs_now is None:
        return Moves(items=[], next_cursor=None, days=days, stayed=0, reason=NOT_ENOUGH)
    sums: defaultdict[tuple[str | None, str | None], list[int]] = defaultdict(lambda: [0, 0])

    def add(
        then: CustomerCell | None, now: CustomerCell | None, customers: int, revenue: int
    ) -> None:
        pair = _segment(cutoffs_then, then, before), _segment(cutoffs_now, now, day)
        sums[pair][0] += customers
        sums[pair][1] += revenue

    for cell in zip(*(each.tolist() for each in same), strict=True):
        last_day, orders, newcomer, monetary, customers, order_count, revenue = cell
        place = CustomerCell(last_day, orders, newcomer, monetary, order_count, revenue)
        add(place, place, customers, revenue)
    for each in changed:
        shown = each.now or each.then
        add(each.then, each.now, 1, 0 if shown is None else shown.revenue)
    sums.pop((None, None), None)
    moved = {pair: total for pair, total in sums.items() if pair[0] != pair[1]}
    ranked, following = page(sorted(moved.items(), key=_standing), _standing, values)
    return Moves(
        items=[
            SegmentMove(
                from_=pair[0],
                to=pair[1],
                customers=customers,
                revenue=money(revenue, view.currency),
            )
            for pair, (customers, revenue) in ranked
        ],
        next_cursor=following,
        days=days,
        stayed=sum(total[0] for pair, total in sums.items() if pair[0] == pair[1]),
        reason=None,
    )


def _standing(move: tuple[tuple[str | None, str | None], list[int]]) -> Place:
    (then, now), (customers, _) = move
    return -customers, then or "", now or ""


def _changed(
    reading: Reading, key: str, before: int, day: int, window: int
) -> Iterable[list[DayRow]]:
    """Purchase days of the customers with one that came into a window or left it meanwhile."""
    sql = (
        f"SELECT DISTINCT customer FROM {PURCHASE_DAYS} AS d WHERE shop = :shop"
        " AND ((day > :before AND day <= :day) OR (day > :gone AND day <= :left))"
    )
    found = reading.query(
        sql, shop=key, before=before, day=day, gone=before - window, left=day - window
    )
    yield from days_of(reading, key, [row[0] for row in found]).values()


def _place(rows: Collection[DayRow], day: int, window: int, *, exact: bool) -> CustomerCell | None:
    known = [row for row in rows if row.orders and row.day <= day]
    inside = [row for row in known if row.day > day - window]
    if not inside:
        return None
    last, orders = max(row.day for row in inside), sum(row.orders for row in inside)
    revenue = sum(row.revenue for row in inside)
    return CustomerCell(
        last,
        min(orders, MAX_ORDERS),
        int(is_newcomer(min(row.day for row in known), last)),
        revenue if exact else bin_edge(revenue),
        orders,
        revenue,
    )


def _summed(columns: list[Ints], places: list[tuple[CustomerCell, int]]) -> list[Ints]:
    """Cells with customers added, or taken away; cells that are empty then go."""
    more = np.array(
        [
            (*place[:4], sign, sign * place.order_count, sign * place.revenue)
            for place, sign in places
        ],
        dtype=np.int64,
    ).reshape(-1, 7)
    joined = [
        np.concatenate((column.astype(np.int64), more[:, at])) for at, column in enumerate(columns)
    ]
    if not len(joined[0]):
        return joined
    order = np.lexsort(joined[3::-1])
    joined = [column[order] for column in joined]
    differs = np.any([np.diff(column) != 0 for column in joined[:4]], axis=0)
    starts = np.concatenate(([0], np.flatnonzero(differs) + 1))
    keys = [column[starts] for column in joined[:4]]
    sums = [np.add.reduceat(column, starts) for column in joined[4:]]
    live = sums[0] != 0
    return [column[live] for column in (*keys, *sums)]


def _segment(cutoffs: ScoreCutoffs, place: CustomerCell | None, day: int) -> str | None:
    if place is None:
        return None
    return score_customer(
        cutoffs,
        day - place.last_day,
        place.orders,
        place.monetary,
        newcomer=bool(place.newcomer),
    ).segment
