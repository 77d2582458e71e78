"""`GET /v1/rfm/moves` against two shops folded apart: one until then, one until today."""

import random
from collections import Counter

import pytest

from aggregates.rfm.answer.moves import Moves, moves
from aggregates.rfm.answer.overview import RfmArrays, RfmSettings, RfmView
from aggregates.rfm.answer.scores import score_customer
from aggregates.rfm.fold.customer import CUSTOMERS, CustomerRow, is_newcomer
from aggregates.rfm.fold.money_bins import bin_edge
from processors.engine.projection import rows
from processors.shopify.orders import Order
from stream.store.sql.store import SqlStore
from tests.support.shopify.orders import DAY0, SHOP, order
from tests.support.shops.folding import rfm_orders
from tests.support.shops.rfm_store import empty, fold, ticked

TODAY, WINDOW = DAY0 + 120, 60
SETTINGS = RfmSettings(window_days=WINDOW)


def orders_of(seed: int, customers: int) -> list[Order]:
    """Customers of many habits over 120 days, some with orders in the last week."""
    rng = random.Random(seed)
    return [
        order(
            f"{customer}-{n}",
            customer=f"{customer}",
            day=DAY0 + rng.randrange(121),
            total=rng.choice([500, 2_000, 9_900]) + customer,
        )
        for customer in range(customers)
        for n in range(rng.choice([1, 1, 2, 4, 9]))
    ]


def folded(store: SqlStore, orders: list[Order], day: int, exact_below: int) -> RfmView:
    """The shop as its orders until `day` make it."""
    processor = rfm_orders(window_days=WINDOW, exact_below=exact_below)
    fold(store, [[each for each in orders if each.day <= day]], day, processor)
    ticked(store, processor, day)
    ticked(store, processor, day)
    with RfmArrays(store).snapshot_view(SHOP) as (_, view):
        return view


def by_customer(store: SqlStore, view: RfmView, day: int) -> dict[str, tuple[str, int]]:
    """Segment and revenue of every customer in the window."""
    arrays = RfmArrays(store)
    cutoffs = arrays.scores(view, day).cutoffs
    assert cutoffs is not None
    with store.snapshot() as snapshot:
        found: list[CustomerRow] = list(rows(snapshot, CUSTOMERS, SHOP))
    return {
        row.customer: (
            score_customer(
                cutoffs,
                day - row.last_day,
                row.orders,
                row.revenue if view.exact else bin_edge(row.revenue),
                newcomer=is_newcomer(row.first_day, row.last_day),
            ).segment,
            row.revenue,
        )
        for row in found
        if row.orders
    }


def asked(store: SqlStore, view: RfmView, days: int) -> Moves:
    with store.snapshot() as snapshot:
        return moves(snapshot, view, TODAY, SETTINGS, {"days": days})


@pytest.mark.parametrize("days", [7, 30])
@pytest.mark.parametrize("exact_below", [50_000, 10], ids=["exact", "binned"])
def test_moves_are_those_between_two_shops_folded_apart(
    store: SqlStore, days: int, exact_below: int
) -> None:
    orders = orders_of(days, 150)
    view = folded(store, orders, TODAY - days, exact_below)
    then = by_customer(store, view, TODAY - days)
    empty(store)
    view = folded(store, orders, TODAY, exact_below)
    assert view.exact == (exact_below > 150)
    now = by_customer(store, view, TODAY)
    customers, revenue = Counter[tuple[str | None, str | None]](), Counter[object]()
    for customer in then.keys() | now.keys():
        before, units = then.get(customer, (None, 0))
        after, units = now.get(customer, (None, units))
        customers[before, after] += 1
        revenue[before, after] += units
    found = asked(store, view, days)
    assert found.reason is None
    assert {(each.from_, each.to): each.customers for each in found.items} == {
        pair: n for pair, n in customers.items() if pair[0] != pair[1]
    }
    assert found.stayed == sum(n for pair, n in customers.items() if pair[0] == pair[1])
    for each in found.items:
        units = revenue[each.from_, each.to]
        assert each.revenue["amount"] == f"{units // 100}.{units % 100:02}"
    counts = [each.customers for each in found.items]
    assert counts == sorted(counts, reverse=True)


def test_without_enough_customers_the_reason_says_so(store: SqlStore) -> None:
    view = folded(store, [order("1", day=TODAY)], TODAY, 50_000)
    found = asked(store, view, 7)
    assert found.items == []
    assert found.reason == "fewer than 5 customers ordered in the window on one of the two days"
