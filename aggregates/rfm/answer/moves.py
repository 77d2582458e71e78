"""`GET /v1/rfm/moves`: which segment customers were in some days ago, and which they are in today.
What was known late counts as if it had been known then.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Annotated, Any, Final, NamedTuple

import numpy as np
from msgspec import Meta, Struct, field

from aggregates.arrays import Bools, Ints, totals
from aggregates.paging import NextCursor, Place, page
from aggregates.rfm.answer.overview import RfmSettings, RfmView
from aggregates.rfm.answer.scores import ScoreCutoffs, rfm, segments_of
from aggregates.rfm.answer.segments import SEGMENTS
from aggregates.rfm.fold.customer import MAX_ORDERS, NEWCOMER_DAYS
from aggregates.rfm.fold.money_bins import EDGES
from stream.money import MoneyJson, money
from stream.store.contract import Reading

SEGMENTS_OR_NONE: Final[tuple[str | None, ...]] = (*SEGMENTS, None)
"""None: without an order in the window."""
_EDGES: Final = np.array(EDGES)
# A customer who neither bought nor lost an order in between has the same cell on both days: those
# move as cells, and only the others are read.
_MEANWHILE: Final = "(({day} > :before AND {day} <= :day) OR ({day} > :gone AND {day} <= :left))"


def _in_window(start: str, end: str) -> str:
    inside = f"CASE WHEN day > {start} AND day <= {end} THEN"
    return (
        f"coalesce(max({inside} day END), 0),"
        f" CAST(coalesce(sum({inside} orders END), 0) AS BIGINT),"
        f" CAST(coalesce(sum({inside} revenue END), 0) AS BIGINT)"
    )


_CHANGED: Final = (
    f"SELECT min(day), {_in_window(':gone', ':before')}, {_in_window(':left', ':day')} FROM ("
    "SELECT customer, day, orders, revenue FROM rfm_customer_day"
    " WHERE shop = :shop AND customer IN (SELECT customer FROM rfm_customer_day"
    f" WHERE shop = :shop AND {_MEANWHILE.format(day='day')}) UNION ALL"
    " SELECT customer, first_day, first_day_orders, first_day_revenue FROM rfm_customer"
    f" WHERE shop = :shop AND days = 1 AND {_MEANWHILE.format(day='first_day')}"
    ") AS days WHERE day <= :day AND orders > 0 GROUP BY customer"
)
"""The first day of each such customer, and of each window the last day, the orders and the revenue.
A customer's only day has no row of its own (`aggregates.rfm.fold.customer.DayRow`)."""
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


class CellKeys(NamedTuple):
    """Key columns of RFM's cells."""

    last_day: Ints
    orders: Ints
    newcomer: Ints
    monetary: Ints


class CellSums(NamedTuple):
    """Measures of RFM's cells."""

    customers: Ints
    order_count: Ints
    revenue: Ints


class KeyedSums(NamedTuple):
    """RFM's cells, as columns of one length."""

    keys: CellKeys
    sums: CellSums


class Places(NamedTuple):
    """Where customers were on one day, as columns of one length."""

    keys: CellKeys
    order_count: Ints
    """All their orders in the window, and 0 for those without; `orders` is capped."""
    revenue: Ints


class ThenAndNow(NamedTuple):
    """Customers whose place on the two days may differ, with one entry each."""

    then: Places
    now: Places


def moves(
    reading: Reading, view: RfmView, day: int, settings: RfmSettings, values: Mapping[str, Any]
) -> Moves:
    """The answer without `shop` and `as_of`; `values` are the parameters."""
    days = values["days"]
    before = day - days
    changed = _changed(reading, view, before, day, settings.window_days)
    now = KeyedSums(CellKeys(*view.cells.key), CellSums(*view.cells.measures))
    same = _with(now, changed.now, -1)
    then = _with(same, changed.then, 1)
    cutoffs_then, cutoffs_now = _cutoffs(then, before), _cutoffs(now, day)
    if cutoffs_then is None or cutoffs_now is None:
        return Moves(items=[], next_cursor=None, days=days, stayed=0, reason=NOT_ENOUGH)
    kinds = len(SEGMENTS_OR_NONE)
    pairs = np.concatenate(
        (
            kinds * segments_of(cutoffs_then, *same.keys, asof_day=before)
            + segments_of(cutoffs_now, *same.keys, asof_day=day),
            kinds * _segments(cutoffs_then, changed.then, before)
            + _segments(cutoffs_now, changed.now, day),
        )
    )
    one_each = np.ones(len(changed.now.revenue), dtype=np.int64)
    shown = np.where(changed.now.order_count > 0, changed.now.revenue, changed.then.revenue)
    customers = totals(pairs, np.concatenate((same.sums.customers, one_each)), kinds**2)
    revenue = totals(pairs, np.concatenate((same.sums.revenue, shown)), kinds**2)
    sums = {
        pair: (customers[at], revenue[at])
        for at, pair in enumerate(product(SEGMENTS_OR_NONE, SEGMENTS_OR_NONE))
        if customers[at] and pair != (None, None)
    }
    moved = {pair: total for pair, total in sums.items() if pair[0] != pair[1]}
    ranked, following = page(sorted(moved.items(), key=_standing), _standing, values)
    return Moves(
        items=[
            SegmentMove(
                from_=pair[0],
                to=pair[1],
                customers=moving,
                revenue=money(spent, view.currency),
            )
            for pair, (moving, spent) in ranked
        ],
        next_cursor=following,
        days=days,
        stayed=sum(total[0] for pair, total in sums.items() if pair[0] == pair[1]),
        reason=None,
    )


def _cutoffs(cells: KeyedSums, day: int) -> ScoreCutoffs | None:
    """The cut-offs on a day; None without customers, or with too few."""
    if not len(cells.sums.customers):
        return None
    return rfm(*cells.keys, *cells.sums, asof_day=day).cutoffs


def _standing(move: tuple[tuple[str | None, str | None], tuple[int, int]]) -> Place:
    (then, now), (customers, _) = move
    return -customers, then or "", now or ""


def _changed(reading: Reading, view: RfmView, before: int, day: int, window: int) -> ThenAndNow:
    """Customers with a purchase day that came into a window or left it meanwhile."""
    rows = reading.query(
        _CHANGED,
        shop=view.key,
        before=before,
        day=day,
        gone=before - window,
        left=day - window,
    )
    columns = np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, 7).T
    first, last_then, orders_then, revenue_then, last_now, orders_now, revenue_now = columns

    def place(last_day: Ints, orders: Ints, revenue: Ints) -> Places:
        keys = CellKeys(
            last_day=last_day,
            orders=np.minimum(orders, MAX_ORDERS),
            newcomer=(last_day - first <= NEWCOMER_DAYS).astype(np.int64),
            monetary=revenue if view.exact else _EDGES[np.searchsorted(_EDGES, revenue)],
        )
        return Places(keys, orders, revenue)

    return ThenAndNow(
        place(last_then, orders_then, revenue_then), place(last_now, orders_now, revenue_now)
    )


def _with(cells: KeyedSums, places: Places, sign: int) -> KeyedSums:
    """Cells with the customers who ordered in the window added, or taken away; cells that are
    empty then go."""
    inside = places.order_count > 0
    one_each = np.full(len(inside), sign)
    added = CellSums(one_each, sign * places.order_count, sign * places.revenue)
    keys = _joined(cells.keys, places.keys, inside)
    sums = _joined(cells.sums, added, inside)
    if not len(keys[0]):
        return KeyedSums(CellKeys(*keys), CellSums(*sums))
    order = np.lexsort(keys[::-1])
    keys, sums = [column[order] for column in keys], [column[order] for column in sums]
    differs = np.any([np.diff(column) != 0 for column in keys], axis=0)
    starts = np.concatenate(([0], np.flatnonzero(differs) + 1))
    summed = CellSums(*(np.add.reduceat(column, starts) for column in sums))
    live = summed.customers != 0
    return KeyedSums(
        CellKeys(*(column[starts][live] for column in keys)),
        CellSums(*(column[live] for column in summed)),
    )


def _joined(columns: Sequence[Ints], others: Sequence[Ints], chosen: Bools) -> list[Ints]:
    """Columns with the chosen entries of others behind them."""
    return [
        np.concatenate((column.astype(np.int64), other[chosen]))
        for column, other in zip(columns, others, strict=True)
    ]


def _segments(cutoffs: ScoreCutoffs, places: Places, day: int) -> Ints:
    """Places in SEGMENTS_OR_NONE."""
    found = segments_of(cutoffs, *places.keys, asof_day=day)
    found[places.order_count == 0] = SEGMENTS_OR_NONE.index(None)
    return found
