"""`GET /v1/rfm`: a shop's customers by recency, frequency and monetary, from cells in memory
(docs/api.md, "GET /v1/rfm")."""

import threading
from collections.abc import Collection, Iterator, Mapping, Set
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from aggregates.rfm.answer import schema
from aggregates.rfm.answer.cell_arrays import CellArrays, Columns, ShopColumns
from aggregates.rfm.answer.churn import Churn, churn, ltv_simple
from aggregates.rfm.answer.counted import CountedShop, counted
from aggregates.rfm.answer.scores import TOO_FEW, RfmScores, rfm
from aggregates.rfm.answer.segments import NEW, SEGMENTS, SHOPIFY, grid_segment
from aggregates.rfm.first_orders.schema import FirstOrdersLtv
from aggregates.rfm.fold.customer import BTYD_CELLS, LAST_DAY_CELLS, RFM_CELLS, SPEND_CELLS
from aggregates.rfm.manifest import MANIFEST
from stream.money import MoneyJson, amount, money
from stream.store.contract import Position, Snapshot, Store

TABLES: Final = (RFM_CELLS, LAST_DAY_CELLS, BTYD_CELLS, SPEND_CELLS)
KEPT: Final = 20
"""Refreshes that still read a shop after a question about it: 20 s where nobody asks."""

NOTHING_YET: Final = (
    "no order that counts was folded for this shop yet: see /v1/status, then `orderwire doctor`"
)
RULES_FROM: Final = 0.25
RULED: Final = (
    "one customer brings {share:.0%} of the revenue: averages and predictions follow what this one"
    " does"
)
NONE_IN_WINDOW: Final = "no customer ordered in the window"


@dataclass(frozen=True, slots=True)
class RfmSettings:
    """A merchant's settings. `margin` is the contribution margin, a fraction of revenue; 1 if not
    set."""

    window_days: int = 365
    horizon_days: int = 365
    margin: float | None = None
    churn_after_days: int = 180
    refit_s: float = 60.0
    """The predictive models are fitted again this often at most."""
    min_repeaters: int = 500
    """Customers who ordered again, below which nothing is predicted (docs/facts/analytics.md,
    "Guards")."""


@dataclass(frozen=True, slots=True, eq=False)
class RfmView:
    """One shop at one moment; everything in it comes from one snapshot."""

    shop: str
    key: str
    """The column `shop` of its live generation's rows (`processors/engine/projection.py`)."""
    currency: str
    """Empty until an order was folded."""
    as_of_day: int | None
    exact: bool
    cells: Columns
    last_days: Columns
    btyd: Columns
    spend: Columns
    left_out: tuple[int, int, int]
    """Orders without customer and e-mail address, their revenue in minor units, and orders in
    another currency."""
    positions: tuple[Position, ...]


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The shops that were asked for, in one snapshot."""

    known: Set[str]
    """These shops were asked for."""
    shops: Mapping[str, CountedShop]
    """Those of them that count something."""
    cells: tuple[ShopColumns, ...]
    """In the order of TABLES."""
    positions: tuple[Position, ...]
    _views: dict[str, RfmView] = field(default_factory=dict)

    def view(self, shop: str) -> RfmView:
        """One of `known`; without anything counted, if no generation of it is live. Raises
        BadCells."""
        if shop not in self._views:
            if shop not in self.known:
                raise LookupError(f"{shop} was not asked for")  # Not the same as nothing counted.
            known = self.shops.get(shop)
            cells, last_days, btyd, spend = (
                table.empty if known is None else table.of(known.key) for table in self.cells
            )
            of_shop = known or CountedShop(shop, "", None, True, (0, 0, 0))
            self._views[shop] = RfmView(
                shop=shop,
                key=of_shop.key,
                currency=of_shop.currency,
                as_of_day=of_shop.as_of_day,
                exact=of_shop.exact,
                cells=cells,
                last_days=last_days,
                btyd=btyd,
                spend=spend,
                left_out=of_shop.left_out,
                positions=self.positions,
            )
        return self._views[shop]


class RfmArrays:
    """Every shop's cells in memory, and the rows of those shops that are asked for. Thread-safe.

    All tables are refreshed in one snapshot with their positions, so that `as_of` is true of every
    number.
    """

    def __init__(self, store: Store) -> None:
        self._store, self._lock = store, threading.Lock()
        self._arrays = tuple(CellArrays(table) for table in TABLES)
        self._refreshed = Refreshed(
            frozenset(), {}, tuple(arrays.present for arrays in self._arrays), ()
        )
        self._asking = threading.Lock()
        self._asked: dict[str, int] = {}
        """How many refreshes from now on still read the shop."""
        self._scores: dict[str, tuple[Columns, int, RfmScores]] = {}
        self.loaded = False

    def ask(self, shop: str) -> bool:
        """Have the shop read by the next refreshes. Whether `view` has it already."""
        with self._asking:
            self._asked[shop] = KEPT
        return shop in self._refreshed.known

    def view(self, shop: str) -> RfmView:
        """A shop that was asked for, as last refreshed. Raises BadCells."""
        return self._refreshed.view(shop)

    def refresh(self) -> None:
        """Bring all cells up to date, and the shops asked for. Blocks; raises StoreUnavailable."""
        with self._lock:
            with self._asking:
                asked = frozenset(self._asked)
                self._asked = {shop: left - 1 for shop, left in self._asked.items() if left > 1}
            with self._store.snapshot() as snapshot:
                self._refresh(snapshot, asked)

    @contextmanager
    def snapshot_view(self, shop: str) -> Iterator[tuple[Snapshot, RfmView]]:
        """A snapshot, and the shop as that snapshot sees it."""
        with ExitStack() as stack:
            # The snapshot is taken under the lock, so that cells never go back to an older one.
            with self._lock:
                snapshot = stack.enter_context(self._store.snapshot())
                with self._asking:
                    asked = {shop, *self._asked, *self._refreshed.known}
                self._refresh(snapshot, asked)
                view = self.view(shop)
            yield snapshot, view

    def scores(self, view: RfmView, day: int) -> RfmScores:
        """Scores of the shop at the end of `day`, computed once per change of its cells (1 ms per
        200,000)."""
        known = self._scores.get(view.shop)
        if known is None or known[0] is not view.cells or known[1] != day:
            scored = rfm(*view.cells.key, *view.cells.measures, asof_day=day)
            known = view.cells, day, scored
            self._scores[view.shop] = known
        return known[2]

    def _refresh(self, snapshot: Snapshot, shops: Collection[str]) -> None:
        for arrays in self._arrays:
            arrays.refresh(snapshot)
        # Views are made when asked for: most shops of an agency are not between two refreshes.
        self._refreshed = Refreshed(
            frozenset(shops),
            counted(snapshot, shops),
            tuple(arrays.present for arrays in self._arrays),
            tuple(snapshot.positions(MANIFEST.feeds[0].processor)),
        )
        self.loaded = True


def overview(
    view: RfmView,
    day: int,
    scored: RfmScores,
    settings: RfmSettings,
    predicted: schema.PredictedLtv,
    first_orders: FirstOrdersLtv,
) -> schema.RfmOverview:
    """The answer without `shop` and `as_of`; the last two are members of it."""
    currency = view.currency
    guest, last_day = view.last_days.key
    (customers,) = view.last_days.measures
    churned = churn(last_day, customers, day, settings.churn_after_days)
    guests = guest == 1
    reason = scored.reason
    if not scored.customers:
        reason = NONE_IN_WINDOW if currency else NOTHING_YET
    return schema.RfmOverview(
        window_days=settings.window_days,
        customers=schema.Customers(
            ever=churned.of,
            in_window=scored.customers,
            guests=int(customers[guests].sum()),
            guests_in_window=int(customers[guests & (last_day > day - settings.window_days)].sum()),
        ),
        orders=scored.orders,
        revenue=_money(scored.revenue, currency),
        left_out=schema.LeftOut(
            orders=view.left_out[0],
            revenue=_money(view.left_out[1], currency),
            reason="no customer and no email",
        ),
        other_currency_orders=view.left_out[2],
        amounts="exact" if view.exact else "bins of 2 %",
        cutoffs=_cutoffs(scored, currency),
        scores=_scores(scored),
        grid=_grid(scored, currency),
        segments=_segments(scored, currency),
        churn=schema.ChurnRate(
            after_days=churned.after_days,
            customers=churned.customers,
            of=churned.of,
            rate=churned.rate,
        ),
        largest_customer=_largest(view, scored),
        ltv_simple=_simple(scored, churned, settings, currency, _history_days(view, day)),
        ltv_predicted=predicted,
        ltv_first_orders=first_orders,
        reason=reason,
    )


def _simple(
    scored: RfmScores,
    churned: Churn,
    settings: RfmSettings,
    currency: str,
    history_days: int | None,
) -> schema.SimpleLtv | None:
    simple = ltv_simple(
        scored.customers,
        scored.orders,
        scored.revenue,
        churned.rate,
        settings.window_days,
        history_days,
    )
    if simple is None:
        return None
    return schema.SimpleLtv(
        average_order_value=money(simple.average_order_value, currency),
        average_frequency=simple.average_frequency,
        lifespan_years=simple.lifespan_years,
        ltv=money(simple.ltv, currency),
        capped=schema.CappedLtv(
            lifespan_years=simple.capped_lifespan_years, ltv=money(simple.capped_ltv, currency)
        ),
        history_days=history_days,
        note=simple.note,
    )


def _history_days(view: RfmView, day: int) -> int | None:
    """Days since the first known purchase, today included."""
    first_days = view.btyd.key[1]
    return int(day - first_days.min()) + 1 if len(first_days) else None


def _largest(view: RfmView, scored: RfmScores) -> schema.LargestCustomer | None:
    """The customer with most revenue in the window; in bins, the mean of the highest cell."""
    customers, _, revenue = view.cells.measures
    if not scored.revenue:
        return None
    most = float((revenue / np.maximum(customers, 1)).max())
    share = most / scored.revenue
    return schema.LargestCustomer(
        revenue=money(most, view.currency),
        share=share,
        note=RULED.format(share=share) if share >= RULES_FROM else None,
    )


def _cutoffs(scored: RfmScores, currency: str) -> schema.Cutoffs | None:
    cutoffs = scored.cutoffs
    if cutoffs is None:
        return None
    return schema.Cutoffs(
        recency_days=list(cutoffs.recency_days),
        frequency=list(cutoffs.frequency),
        monetary=[amount(cut, currency) for cut in cutoffs.monetary],
    )


def _scores(scored: RfmScores) -> schema.Scores | None:
    if scored.recency is None or scored.frequency is None or scored.monetary is None:
        return None
    return schema.Scores(
        recency=list(scored.recency),
        frequency=list(scored.frequency),
        monetary=list(scored.monetary),
    )


def _grid(scored: RfmScores, currency: str) -> list[schema.Box] | None:
    grid, segments = scored.grid, scored.segments
    if grid is None or segments is None:
        return None
    return [
        schema.Box(
            r=r,
            fm=fm,
            segment=grid_segment(r, fm),
            of_them_new=segments[NEW].customers if grid_segment(r, fm) == NEW else None,
            customers=grid[r - 1][fm - 1].customers,
            revenue=money(grid[r - 1][fm - 1].revenue, currency),
        )
        for r in range(5, 0, -1)
        for fm in range(5, 0, -1)
    ]


def _segments(scored: RfmScores, currency: str) -> list[schema.SegmentTally] | None:
    if scored.segments is None:
        return None
    return [
        schema.SegmentTally(
            segment=segment,
            shopify=SHOPIFY[segment],
            customers=tally.customers,
            share=tally.customers / scored.customers,
            revenue=money(tally.revenue, currency),
            revenue_share=tally.revenue / scored.revenue if scored.revenue else None,
        )
        for segment, tally in ((segment, scored.segments[segment]) for segment in SEGMENTS)
    ]


def _money(units: int, currency: str) -> MoneyJson | None:
    return money(units, currency) if currency else None


__all__ = [
    "NONE_IN_WINDOW",
    "TABLES",
    "TOO_FEW",
    "RfmArrays",
    "RfmSettings",
    "RfmView",
    "overview",
]
