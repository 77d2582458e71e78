"""RFM from cells: the published CDNOW numbers, the brute-force oracle on random shops, and what
must hold for every shop."""

from collections import defaultdict
from datetime import date
from math import floor, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aggregates.arrays import Ints
from aggregates.rfm.answer.churn import churn, ltv_simple
from aggregates.rfm.answer.scores import TOO_FEW, RfmScores, Score, rfm, score_customer, values_at
from aggregates.rfm.answer.segment_boxes import boxes, cell_boxes
from aggregates.rfm.answer.segments import (
    NEW_RECENCY_DAYS,
    SEGMENTS,
    SHOPIFY,
    fm_score,
    grid_segment,
    is_new,
    segment_of,
)
from tests.support.oracles.oracle_rfm import GRID, NAMES, Answer, Order, percentile_disc, rfm_of
from tests.support.shopify.golden import CDNOW_MASTER, cdnow_orders, rfm_figures

ASOF = 20_000
RATIO = 1.02


def bin_edge(cents: int) -> int:
    """A fold's rounding: the largest whole amount of the customer's money bin, bins growing by
    1.02."""
    if cents <= 0:
        return cents
    power = floor(log(cents) / log(RATIO))
    return max(cents, floor(RATIO ** (power + 1)))


def cells(
    orders: list[Order], asof_day: int, *, exact: bool = True, window_days: int = 365
) -> tuple[Ints, ...]:
    """What the fold would hold: rows of `RFM_CELLS` without the shop."""
    own: dict[str, list[Order]] = defaultdict(list)
    first: dict[str, int] = {}
    for order in orders:
        if order.day <= asof_day:
            first[order.customer] = min(order.day, first.get(order.customer, order.day))
        if asof_day - window_days < order.day <= asof_day:
            own[order.customer].append(order)
    counted: dict[tuple[int, int, int, int], list[int]] = defaultdict(lambda: [0, 0, 0])
    for who, bought in own.items():
        cents = sum(order.cents for order in bought)
        last_day = max(order.day for order in bought)
        key = (
            last_day,
            min(len(bought), 32),
            int(last_day - first[who] <= 30),
            cents if exact else bin_edge(cents),
        )
        for at, amount in enumerate((1, len(bought), cents)):
            counted[key][at] += amount
    table = np.array([(*key, *values) for key, values in counted.items()], dtype=np.int64).reshape(
        -1, 7
    )
    return tuple(table.T)


def scored(orders: list[Order], asof_day: int, *, exact: bool = True) -> RfmScores:
    return rfm(*cells(orders, asof_day, exact=exact), asof_day=asof_day)


def agrees(got: RfmScores, expected: Answer) -> None:
    assert (got.customers, got.orders, got.revenue) == (
        expected.customers_in_window,
        expected.orders,
        expected.revenue,
    )
    if expected.grid is None:
        assert got.cutoffs is None
        assert got.reason == TOO_FEW
        return
    assert got.cutoffs is not None
    assert got.grid is not None
    assert got.segments is not None
    assert expected.segments is not None
    assert list(got.cutoffs.recency_days) == expected.recency_cutoffs
    assert list(got.cutoffs.frequency) == expected.frequency_cutoffs
    assert list(got.cutoffs.monetary) == expected.monetary_cutoffs
    assert [list(got.recency or ()), list(got.frequency or ()), list(got.monetary or ())] == [
        expected.recency_scores,
        expected.frequency_scores,
        expected.monetary_scores,
    ]
    assert {
        (r, fm): (got.grid[r - 1][fm - 1].customers, got.grid[r - 1][fm - 1].revenue)
        for r, fm in expected.grid
    } == expected.grid
    assert {
        name: (tally.customers, tally.revenue) for name, tally in got.segments.items()
    } == expected.segments


ORDERS = st.lists(
    st.builds(
        Order,
        customer=st.integers(0, 25).map(str),
        day=st.integers(ASOF - 420, ASOF),
        cents=st.one_of(st.integers(0, 30), st.integers(0, 10**4), st.integers(-500, 10**9)),
    ),
    max_size=120,
)


@pytest.mark.parametrize(
    ("day", "rate", "value"),
    [("1997-09-30", 0.691, 105.80), ("1998-01-31", 0.745, 126.38), ("1998-06-30", 0.772, 166.25)],
)
def test_the_cdnow_master_file_gives_the_churn_and_simple_value_written_down(
    day: str, rate: float, value: float
) -> None:
    """docs/facts/analytics.md, "Simple lifetime value"."""
    asof = (date.fromisoformat(day) - date(1970, 1, 1)).days
    orders = [each for each in cdnow_orders(CDNOW_MASTER) if each.day <= asof]
    last_bought: dict[str, int] = {}
    for each in orders:
        last_bought[each.customer] = max(each.day, last_bought.get(each.customer, each.day))
    days, customers = np.unique(list(last_bought.values()), return_counts=True)
    lapsed = churn(days, customers, asof)
    got = scored(orders, asof)
    simple = ltv_simple(got.customers, got.orders, got.revenue, lapsed.rate)
    assert lapsed.rate is not None
    assert simple is not None
    assert (round(lapsed.rate, 3), round(simple.ltv / 100, 2)) == (rate, value)


def test_the_cdnow_master_file_gives_the_published_numbers_exactly() -> None:
    orders = cdnow_orders(CDNOW_MASTER)
    for day, expected in rfm_figures().items():
        asof = (date.fromisoformat(day) - date(1970, 1, 1)).days
        got = scored(orders, asof)
        assert got.cutoffs is not None
        assert got.segments is not None
        assert (got.customers, got.orders, got.revenue) == (
            expected["customers_in_window"],
            expected["orders_in_window"],
            expected["revenue_cents_in_window"],
        )
        assert list(got.cutoffs.recency_days) == expected["cutoffs"]["recency_days"]
        assert list(got.cutoffs.frequency) == expected["cutoffs"]["frequency"]
        assert list(got.cutoffs.monetary) == expected["cutoffs"]["monetary_cents"]
        assert list(got.recency or ()) == expected["r_counts"]
        assert list(got.frequency or ()) == expected["f_counts"]
        assert list(got.monetary or ()) == expected["m_counts"]
        assert {name: tally.customers for name, tally in got.segments.items()} == expected[
            "segments"
        ]
        agrees(got, rfm_of(orders, asof))
        binned = scored(orders, asof, exact=False)
        assert binned.segments is not None
        moved = (
            sum(
                abs(binned.segments[name].customers - got.segments[name].customers)
                for name in SEGMENTS
            )
            / 2
        )
        assert moved / got.customers < 0.005  # money bins of 1.02: within 0.5 % of customers
        last: dict[str, int] = {}
        for order in orders:
            if order.day <= asof:
                last[order.customer] = max(order.day, last.get(order.customer, 0))
        days, counts = np.unique(list(last.values()), return_counts=True)
        lapsed = churn(days, counts, asof)
        assert (lapsed.customers, lapsed.of) == (
            expected["churned_gt180"],
            expected["customers_ever"],
        )
        assert lapsed.rate == pytest.approx(expected["churn_rate"], rel=1e-12)
        simple = ltv_simple(got.customers, got.orders, got.revenue, lapsed.rate)
        assert simple is not None
        assert simple.average_order_value / 100 == pytest.approx(
            expected["avg_order_value"], rel=1e-9
        )
        assert simple.average_frequency == pytest.approx(expected["avg_frequency"], rel=1e-9)
        assert simple.lifespan_years == pytest.approx(expected["lifespan"], rel=1e-9)
        assert simple.ltv / 100 == pytest.approx(expected["ltv_spec"], rel=1e-9)


@settings(max_examples=150, deadline=None)
@given(ORDERS, st.booleans())
def test_cells_show_what_the_oracle_counts_customer_by_customer(
    orders: list[Order], exact: bool
) -> None:
    if not cells(orders, ASOF)[0].size:
        return
    expected = rfm_of(orders, ASOF, round_money=(lambda cents: cents) if exact else bin_edge)
    agrees(scored(orders, ASOF, exact=exact), expected)


@settings(max_examples=50, deadline=None)
@given(ORDERS)
def test_one_customer_is_scored_as_its_cell_is(orders: list[Order]) -> None:
    answer = rfm_of(orders, ASOF)
    if not answer.scored:
        return
    cutoffs = scored(orders, ASOF).cutoffs
    assert cutoffs is not None
    for who, each in answer.scored.items():
        newcomer = ASOF - each.recency_days - answer.first_ever[who] <= 30
        got = score_customer(cutoffs, each.recency_days, each.orders, each.cents, newcomer=newcomer)
        assert (got.r, got.f, got.m, got.fm, got.segment) == (
            each.r,
            each.f,
            each.m,
            each.fm,
            each.segment,
        )


@settings(max_examples=50, deadline=None)
@given(ORDERS)
def test_the_boxes_of_the_segments_hold_each_customer_exactly_once(orders: list[Order]) -> None:
    answer = rfm_of(orders, ASOF)
    if not answer.scored:
        return
    cutoffs = scored(orders, ASOF).cutoffs
    assert cutoffs is not None

    def within(value: int, limits: tuple[int | None, int | None]) -> bool:
        above, upto = limits
        return (above is None or value > above) and (upto is None or value <= upto)

    for who, each in answer.scored.items():
        own = (each.recency_days, min(each.orders, 32), each.cents)
        newcomer = int(ASOF - each.recency_days - answer.first_ever[who] <= 30)
        found = [
            name
            for name in SEGMENTS
            for box in boxes(cutoffs, name)
            if all(map(within, own, box[:3])) and box.newcomer in (None, newcomer)
        ]
        assert found == [each.segment]
        of_cell = [
            (r, fm)
            for r in range(1, 6)
            for fm in range(1, 6)
            for box in cell_boxes(cutoffs, r, fm)
            if all(map(within, own, box[:3]))
        ]
        assert of_cell == [(each.r, each.fm)]


@settings(max_examples=50, deadline=None)
@given(ORDERS, st.integers(0, 400), st.integers(1, 40), st.integers(0, 10**6))
def test_scores_are_monotone(orders: list[Order], recency: int, count: int, cents: int) -> None:
    if not cells(orders, ASOF)[0].size or (cutoffs := scored(orders, ASOF).cutoffs) is None:
        return

    def score(recency_days: int, orders: int, cents: int) -> Score:
        return score_customer(cutoffs, recency_days, orders, cents, newcomer=True)

    here = score(recency, count, cents)
    assert score(recency + 7, count, cents).r <= here.r
    assert score(recency, count + 1, cents).f >= here.f
    assert score(recency, count, cents + 100).m >= here.m


def test_customers_who_did_the_same_share_every_score() -> None:
    """59 % of CDNOW bought once; NTILE would spread them over F = 1, 2 and 3
    (docs/facts/analytics.md, "Why not NTILE")."""
    alike = [Order(str(who), ASOF - 10, 500) for who in range(50)]
    apart = [Order(f"often-{who}", ASOF - day, 900) for who in range(10) for day in range(who + 2)]
    got = scored(alike + apart, ASOF)
    assert got.frequency is not None
    assert got.frequency[0] == 50
    assert got.cutoffs is not None
    assert score_customer(got.cutoffs, 10, 1, 500, newcomer=True).f == 1


@settings(max_examples=40, deadline=None)
@given(ORDERS, st.integers(1, 200))
def test_the_clock_alone_changes_recency_by_days_and_no_score(
    orders: list[Order], later: int
) -> None:
    arrays = cells(orders, ASOF)
    if not arrays[0].size:
        return
    now, then = rfm(*arrays, asof_day=ASOF), rfm(*arrays, asof_day=ASOF + later)
    assert now.grid == then.grid
    if now.cutoffs and then.cutoffs:
        assert tuple(day + later for day in now.cutoffs.recency_days) == then.cutoffs.recency_days


def test_four_customers_have_totals_but_no_scores_and_it_says_so() -> None:
    got = scored([Order(str(who), ASOF - who, 100) for who in range(4)], ASOF)
    assert (got.customers, got.orders, got.revenue) == (4, 4, 400)
    assert got.cutoffs is None
    assert got.segments is None
    assert got.reason == TOO_FEW
    empty = np.zeros(0, dtype=np.int64)
    assert rfm(*[empty] * 7, asof_day=ASOF).customers == 0


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.one_of(st.integers(-20, 20), st.integers(-(2**40), 2**52)), st.integers(1, 9)),
        min_size=5,
        max_size=60,
    )
)
def test_weighted_quantiles_are_those_of_the_written_out_list(
    weighted: list[tuple[int, int]],
) -> None:
    values, weights = (np.array(column, dtype=np.int64) for column in zip(*weighted, strict=True))
    written_out = [value for value, weight in weighted for _ in range(weight)]
    n = len(written_out)
    assert values_at(values, weights, [-(-k * n // 5) for k in range(1, 5)]) == percentile_disc(
        written_out
    )


def test_eleven_segments_cover_the_grid_once_and_each_has_a_shopify_name() -> None:
    assert len(SEGMENTS) == 11
    assert sorted(SEGMENTS) == NAMES
    assert set(SHOPIFY) == set(SEGMENTS)
    assert {grid_segment(r, fm) for r in range(1, 6) for fm in range(1, 6)} == set(SEGMENTS)
    for r, row in GRID.items():
        assert [grid_segment(r, fm) for fm in range(1, 6)] == row.split()
    assert [fm_score(1, 2), fm_score(1, 1), fm_score(5, 4), fm_score(5, 5)] == [2, 1, 5, 5]


def test_new_are_only_those_whose_first_order_is_recent() -> None:
    """Who comes back after a year has the scores of a new customer in the window, and is none."""
    often = [
        Order(f"often-{who}", ASOF - 30 - who, 5_000 - 100 * who)
        for who in range(40)
        for _ in range(3)
    ]
    once = [Order("fresh", ASOF - 3, 100)]
    back = [Order("back", ASOF - 400, 5_000), Order("back", ASOF - 3, 100)]
    got = scored(often + once + back, ASOF)
    assert got.grid is not None
    assert got.segments is not None
    assert got.grid[4][0].customers == 2
    assert (got.segments["new"].customers, got.segments["promising"].customers) == (1, 1)
    assert segment_of(5, 1, new=True) == "new"
    assert segment_of(5, 1, new=False) == "promising"
    assert segment_of(5, 2, new=False) == segment_of(5, 2, new=True) == "potential_loyalist"
    assert is_new(True, NEW_RECENCY_DAYS)
    assert not is_new(True, NEW_RECENCY_DAYS + 1)  # in a shop whose newest fifth is old
    assert not is_new(False, 0)


def test_churn_counts_more_than_180_days_over_everyone_ever() -> None:
    days, counts = np.array([ASOF - 181, ASOF - 180, ASOF]), np.array([2, 3, 5])
    assert (churn(days, counts, ASOF).customers, churn(days, counts, ASOF).rate) == (2, 0.2)
    assert churn(days[:0], counts[:0], ASOF).rate is None


def test_simple_ltv_is_as_specified_and_its_cap_differs_only_below_a_third_of_churn() -> None:
    nobody, few, many = (ltv_simple(10, 20, 4000, rate) for rate in (0.0, 0.0001, 0.5))
    assert nobody is not None
    assert few is not None
    assert many is not None
    assert (nobody.lifespan_years, nobody.ltv) == (3.0, 200 * 2 * 3)
    assert few.lifespan_years == pytest.approx(10_000)
    assert few.capped_lifespan_years == 3.0
    assert few.capped_ltv == nobody.ltv
    assert many.ltv == many.capped_ltv == 200 * 2 * 2
    assert ltv_simple(0, 0, 0, None) is None


def test_simple_ltv_of_another_window_is_of_a_year_s_orders_as_well() -> None:
    """A base that buys evenly is worth the same by whatever window it is looked at; lifespans are
    years (docs/facts/analytics.md, "Simple lifetime value")."""
    year, quarter = (
        ltv_simple(10, 40, 8000, 0.5),
        ltv_simple(10, 10, 2000, 0.5, window_days=365 // 4),
    )
    assert year is not None
    assert quarter is not None
    assert (year.average_frequency, quarter.average_frequency) == (4, 1)
    assert quarter.ltv == pytest.approx(year.ltv, rel=0.01)
