"""Chooses which rows of `rfm_customer` a page of a list reads: never the whole shop's, however rare
the segment.

The cells in memory, from the same snapshot as the rows, say where the listed customers are and how
many.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from aggregates.arrays import Ints
from aggregates.rfm.answer.overview import RfmView
from aggregates.rfm.answer.scores import ScoreCutoffs
from aggregates.rfm.answer.segment_boxes import Range, ScoreBox, boxes, cell_boxes
from aggregates.rfm.answer.segments import Segment
from aggregates.rfm.fold.customer import MAX_ORDERS, NEWCOMER_DAYS
from stream.store.contract import Snapshot

Sort: TypeAlias = Literal["recency", "frequency", "monetary"]
SORTS: Final[tuple[Sort, ...]] = get_args(Sort)
Start: TypeAlias = tuple[int, int, str]
"""The last item's place: two numbers in the order of the sort (the second 0 for monetary), and the
customer."""

COLUMNS: Final = (
    "c.customer, c.guest, c.first_day, c.last_day, c.days, c.first_day_revenue, c.revenue_ever,"
    " c.orders, c.revenue"
)
ORDER: Final[dict[Sort, tuple[str, ...]]] = {
    "recency": ("c.last_day", "c.orders", "c.customer"),
    "frequency": ("c.orders", "c.last_day", "c.customer"),
    "monetary": ("c.revenue", "c.customer"),
}
GROUPS_PER_QUERY: Final = 200
MOST_GROUPS: Final = 4_000
"""Groups that one statement may name: six parameters each, and SQLite takes 32,766."""
ALL: Final = 2**62
EVERYBODY: Final = -1
"""Newcomers (1) and others (0) are not distinguished."""
IS_NEWCOMER: Final = f"CASE WHEN +c.last_day - c.first_day <= {NEWCOMER_DAYS} THEN 1 ELSE 0 END"
"""A plus before a column keeps both databases from choosing its index: the right one is known here,
and SQLite guesses."""
ANYONE: Final = ScoreBox((None, None), (None, None), (None, None))


class CustomerInWindow(NamedTuple):
    """Columns of `rfm_customer`; days since 1970-01-01, minor units.

    `orders` and `revenue` are of the window.
    """

    customer: str
    guest: int
    first_day: int
    last_day: int
    days: int
    first_day_revenue: int
    revenue_ever: int
    orders: int
    revenue: int


@dataclass(frozen=True, slots=True)
class Listing:
    """What is listed, under the cut-offs of the moment of the first page."""

    sort: Sort
    segment: Segment | None
    day: int
    window_days: int
    cutoffs: ScoreCutoffs | None
    cell: tuple[int, int] | None = None
    """Only customers with these scores R and FM."""

    @property
    def part(self) -> str:
        """Names whom it lists; "" for everybody."""
        return self.segment or ("" if self.cell is None else f"r{self.cell[0]}fm{self.cell[1]}")

    def boxes(self) -> list[ScoreBox]:
        """Disjoint ranges that hold the listed customers; nobody passes a cut-off at the cap."""
        if not self.part or self.cutoffs is None:
            return [ANYONE]
        if self.segment is not None:
            found = boxes(self.cutoffs, self.segment)
        else:
            found = [] if self.cell is None else cell_boxes(self.cutoffs, *self.cell)
        return [box for box in found if box.orders[0] is None or box.orders[0] < MAX_ORDERS]

    def place(self, row: CustomerInWindow) -> Start:
        """The sort key of a row."""
        if self.sort == "recency":
            return row.last_day, row.orders, row.customer
        return (
            (row.orders, row.last_day, row.customer)
            if self.sort == "frequency"
            else (row.revenue, 0, row.customer)
        )


class _Members(NamedTuple):
    """Cells of the listed customers: those of `newcomer` with `low < money <= high`."""

    last_day: Ints
    orders: Ints
    money: Ints
    customers: Ints
    newcomer: Ints
    """0, 1 or `EVERYBODY`: whom of the cell's last day and orders the segment holds."""
    low: Ints
    high: Ints

    def only(self, chosen: Any) -> "_Members":
        return _Members(*(column[chosen] for column in self))


def rows_behind(
    snapshot: Snapshot, view: RfmView, listing: Listing, wanted: int, after: Start | None
) -> list[CustomerInWindow]:
    """The next `wanted` rows of the list after `after`. The view must be of this snapshot."""
    members = _members(view, listing)
    if listing.sort == "monetary":
        return _by_money(snapshot, view, listing, members, wanted, after)
    return _by_groups(snapshot, view, listing, _groups(members, listing.sort), wanted, after)


def _members(view: RfmView, listing: Listing) -> _Members:
    last_day, orders, newcomer, money = view.cells.key
    low, high = np.full(len(money), ALL), np.full(len(money), -1)
    wanted = np.full(len(money), EVERYBODY)
    for box in listing.boxes():
        inside = _within(listing.day - last_day, box.recency_days) & _within(orders, box.orders)
        if listing.part:
            inside &= _within(money, box.cents)
        if box.newcomer is not None:
            inside &= newcomer == box.newcomer
            wanted[inside] = box.newcomer
        low[inside] = -1 if box.cents[0] is None else box.cents[0]
        high[inside] = ALL if box.cents[1] is None else box.cents[1]
    members = _Members(last_day, orders, money, view.cells.measures[0], wanted, low, high)
    return members.only(high >= 0)


def _within(values: Ints, limits: Range) -> npt.NDArray[np.bool_]:
    above, upto = limits
    chosen = np.ones(len(values), dtype=bool)
    if above is not None:
        chosen &= values > above
    if upto is not None:
        chosen &= values <= upto
    return chosen


def _groups(members: _Members, sort: Sort) -> _Members:
    """One entry per last day and orders with all its listed customers, in list order."""
    last_day, orders = members.last_day, members.orders
    if not len(orders):
        return members
    # Cells ascend by last day, then orders: those of a group are neighbours.
    starts = np.flatnonzero(np.append(True, (np.diff(last_day) != 0) | (np.diff(orders) != 0)))
    groups = members.only(starts)._replace(customers=np.add.reduceat(members.customers, starts))
    keys = (
        (groups.orders, groups.last_day)
        if sort != "frequency"
        else (groups.last_day, groups.orders)
    )
    return groups.only(np.lexsort(keys)[::-1])


def _by_groups(
    snapshot: Snapshot,
    view: RfmView,
    listing: Listing,
    groups: _Members,
    wanted: int,
    after: Start | None,
) -> list[CustomerInWindow]:
    """For `recency` (last day, then orders) and `frequency` (orders, then last day): reads groups
    of customers with equal last day and orders until the page is full.

    One statement reads as many whole groups as fit on the page, then a part of the next. Within a
    group R and F are equal, so a segment is a range of money, of newcomers or of everybody. Cells
    hold orders capped at 32; customers beyond are one block, sorted when read.
    """
    rows: list[CustomerInWindow] = []
    if listing.sort == "frequency":
        beyond = int((groups.orders >= MAX_ORDERS).sum())
        if beyond and (after is None or after[0] >= MAX_ORDERS):
            rows += _select(snapshot, view, listing, groups.only(slice(0, beyond)), wanted, after)
        groups = groups.only(slice(beyond, None))
    at = 0 if after is None else _passed(groups, listing.sort, after)
    while len(rows) < wanted and at < len(groups.orders):
        reached = np.cumsum(groups.customers[at : at + GROUPS_PER_QUERY])
        count = max(1, int(np.searchsorted(reached, wanted - len(rows), side="right")))
        rows += _select(
            snapshot, view, listing, groups.only(slice(at, at + count)), wanted - len(rows), after
        )
        at += count
    return rows


def _passed(groups: _Members, sort: Sort, after: Start) -> int:
    """How many groups lie wholly before `after`."""
    if sort == "recency":
        first, second, limit = groups.last_day, groups.orders, min(after[1], MAX_ORDERS)
    else:
        first, second, limit = groups.orders, groups.last_day, after[1]
    return int(((first > after[0]) | ((first == after[0]) & (second > limit))).sum())


def _by_money(
    snapshot: Snapshot,
    view: RfmView,
    listing: Listing,
    members: _Members,
    wanted: int,
    after: Start | None,
) -> list[CustomerInWindow]:
    """For `monetary`: reads the stretch of the money index that holds the page, or, if a rare
    segment makes that long, the groups of the segment's cells; whichever is fewer rows."""
    all_money, everybody = view.cells.key[3], view.cells.measures[0]
    highest = int(members.money.max(initial=-1)) if after is None else after[0]
    # The bin of `highest` ends at the first edge not below it; nobody is between
    # neighbouring edges of cells.
    top = int(all_money[all_money >= highest].min(initial=ALL))
    members = members.only(members.money <= top)
    if not len(members.money):
        return []
    order = np.argsort(-members.money, kind="stable")
    money = members.money[order]
    # What stands at the top edge may have been on pages before: it does not help to fill this one.
    reached = np.cumsum(np.where(money < top, members.customers[order], 0))
    bottom = int(money[min(int(np.searchsorted(reached, wanted)), len(money) - 1)])
    floor = int(all_money[all_money < bottom].max(initial=-1))
    members = members.only(members.money >= bottom)
    stretch = int(everybody[(all_money > floor) & (all_money <= top)].sum())
    if floor < 0:
        stretch += int(view.last_days.measures[0].sum()) - int(everybody.sum())
    code = view.cells.key[0] * (MAX_ORDERS + 1) + view.cells.key[1]
    named = np.unique(members.last_day * (MAX_ORDERS + 1) + members.orders)
    if (
        len(named) <= MOST_GROUPS
        and len(named) + int(everybody[np.isin(code, named)].sum()) < stretch
    ):
        groups = _groups(members, listing.sort)
        narrowed = groups._replace(
            low=np.maximum(groups.low, floor), high=np.minimum(groups.high, highest)
        )
        return _select(snapshot, view, listing, narrowed, wanted, after)
    return _down_the_index(snapshot, view, listing, floor, highest, wanted, after)


def _down_the_index(
    snapshot: Snapshot,
    view: RfmView,
    listing: Listing,
    floor: int,
    highest: int,
    wanted: int,
    after: Start | None,
) -> list[CustomerInWindow]:
    terms: list[str] = []
    values: dict[str, Any] = {"floor": floor, "cutoff": listing.day - listing.window_days}
    if after is None:
        values["highest"] = highest

    def bound(term: str, value: int) -> str:
        name = f"v{len(values)}"
        values[name] = value
        return f"{term} :{name}"

    for box in listing.boxes():
        limits = ["+c.orders > 0"]
        for above, upto, more, most in (
            (
                box.orders[0],
                box.orders[1] if box.orders[1] != MAX_ORDERS else None,
                "+c.orders >",
                "+c.orders <=",
            ),
            (box.cents[0], box.cents[1], "c.revenue >", "c.revenue <="),
        ):
            limits += [
                bound(term, value)
                for term, value in ((more, above), (most, upto))
                if value is not None
            ]
        above, upto = box.recency_days
        limits += [bound("+c.last_day <", listing.day - above)] if above is not None else []
        limits += [bound("+c.last_day >=", listing.day - upto)] if upto is not None else []
        limits += [f"{IS_NEWCOMER} = {box.newcomer}"] if box.newcomer is not None else []
        terms.append(f"({' AND '.join(limits)})")
    # Behind a place, the place says it, and customers of equal money as well.
    most = "c.revenue <= :highest AND" if after is None else ""
    where = f"c.revenue > :floor AND {most} +c.last_day > :cutoff AND ({' OR '.join(terms)})"
    return _query(snapshot, view, listing, "rfm_customer c", where, values, wanted, after)


def _select(
    snapshot: Snapshot,
    view: RfmView,
    listing: Listing,
    groups: _Members,
    wanted: int,
    after: Start | None,
) -> list[CustomerInWindow]:
    """Rows of the groups, in order."""
    names = ("d", "low_orders", "high_orders", "low", "high", "newcomer")
    ranges = [
        (last_day, orders, orders if orders < MAX_ORDERS else ALL, low, high, newcomer)
        for last_day, orders, low, high, newcomer in zip(
            *(
                getattr(groups, name).tolist()
                for name in ("last_day", "orders", "low", "high", "newcomer")
            ),
            strict=True,
        )
    ]
    on = (
        "c.last_day = {d} AND c.orders >= {low_orders} AND c.orders <= {high_orders}"
        " AND +c.revenue > {low} AND +c.revenue <= {high}"
        f" AND ({{newcomer}} = {EVERYBODY} OR {{newcomer}} = {IS_NEWCOMER})"
    )
    if len(ranges) == 1 and ranges[0][1] < MAX_ORDERS:
        # Equality with values, not with columns of another table: the index gives the order as
        # well, whatever the group's size.
        values: dict[str, Any] = dict(zip(names, ranges[0], strict=True))
        del values["high_orders"]
        where = on.replace(
            "c.orders >= {low_orders} AND c.orders <= {high_orders}", "c.orders = {low_orders}"
        )
        where = where.format(**{name: f":{name}" for name in names})
        if after is not None and listing.sort != "monetary":
            day_and_orders = after[:2] if listing.sort == "recency" else (after[1], after[0])
            if day_and_orders == ranges[0][:2]:
                where += " AND c.customer < :behind"
                values |= {"behind": after[2]}
            after = None
        return _query(snapshot, view, listing, "rfm_customer c", where, values, wanted, after)
    values = {
        f"{name}{i}": value
        for i, each in enumerate(ranges)
        for name, value in zip(names, each, strict=True)
    }
    listed = ", ".join(
        f"({', '.join(f'CAST(:{name}{i} AS BIGINT)' for name in names)})"
        for i in range(len(ranges))
    )
    source = (
        f"(WITH g({', '.join(names)}) AS (VALUES {listed}) SELECT * FROM g) g CROSS "
        "JOIN rfm_customer c"
    )
    return _query(
        snapshot,
        view,
        listing,
        source,
        on.format(**{name: f"g.{name}" for name in names}),
        values,
        wanted,
        after,
    )


def _query(
    snapshot: Snapshot,
    view: RfmView,
    listing: Listing,
    source: str,
    where: str,
    values: dict[str, Any],
    wanted: int,
    after: Start | None,
) -> list[CustomerInWindow]:
    order = ORDER[listing.sort]
    behind = ""
    if after is not None:
        place: Sequence[int | str] = after if len(order) == 3 else (after[0], after[2])
        values |= {f"after{i}": value for i, value in enumerate(place)}
        behind = (
            f" AND ({', '.join(order)}) < ({', '.join(f':after{i}' for i in range(len(order)))})"
        )
    sql = (
        f"SELECT {COLUMNS} FROM {source} WHERE c.shop = :shop AND {where}{behind}"
        f" ORDER BY {', '.join(f'{column} DESC' for column in order)} LIMIT :wanted"
    )
    return [
        CustomerInWindow(*row)
        for row in snapshot.query(sql, shop=view.key, wanted=wanted, **values)
    ]
