"""The central equation of budgets, aggregate == sum of the cells of every entity, whatever order,
duplicates and batches events come in."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from hypothesis import strategies as st
from msgspec.structs import replace

from aggregates.budget.cells import CELLS, order_cells, spend_cells
from aggregates.budget.fold.spend import SPEND
from aggregates.budget.fold.spend_record import SpendRow
from processors.orders.row import ORDERS, OrderRow
from processors.shopify.orders import Order, OrderDeleted, Refund, RefundCreated
from processors.shopify.raw_order import RawOrder
from processors.shopify.version import Version
from stream.store.sql.store import SqlStore
from tests.support.examples import on_each_store
from tests.support.shops.folding import budget_orders, budget_spend

OrderChange = Order | RefundCreated | OrderDeleted
State = dict[tuple[Any, ...], tuple[Any, ...]]

shops = (f"shop{n}.myshopify.com" for n in count())
LANDING_SITES = (
    None,
    "/",
    "/?utm_id=1&utm_source=fb",
    "/?utm_campaign=Summer&utm_source=fb",
    "/?fbclid=x",
    "/wallets/checkouts.json",
)


NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ORDER = Order(
    shop="", order_id="1", version=Version(1, "", "1"),
    processed_at=NOON, created_at=NOON, day=20_777, customer_id=None, email=None,
    currency="USD", total=5000, current_total=5000, financial_status="paid",
    test=False, cancelled=False, refunds=(), checkout_token=None, cart_token=None,
    landing_site="/?utm_id=1&utm_source=fb", source_name="web", raw=RawOrder(), body=b"",
    received_ms=0,
)  # fmt: skip


def an_order(order_id: str, revision: int, **changes: Any) -> Order:
    return replace(
        ORDER, order_id=order_id, version=Version(revision, "", f"{revision:x}"), **changes
    )


def of_shop(shop: str, event: Any) -> Any:
    """The same event, of another shop: each example has one to itself."""
    return event._replace(shop=shop) if isinstance(event, SpendRow) else replace(event, shop=shop)


@st.composite
def order_events(draw: st.DrawFn) -> list[OrderChange]:
    """Some orders' snapshots, refunds that come apart, and deletions."""
    events: list[OrderChange] = []
    for number in range(draw(st.integers(1, 5))):
        order_id, day = str(number), 20_770 + draw(st.integers(0, 3))
        refunds = [
            Refund(f"{number}-{n}", draw(st.integers(0, 3000)))
            for n in range(draw(st.integers(0, 2)))
        ]
        for revision in range(draw(st.integers(0, 3))):
            known = tuple(refund for refund in refunds if draw(st.booleans()))
            events.append(
                an_order(
                    order_id,
                    revision,
                    day=day,
                    total=5000,
                    current_total=draw(st.sampled_from((5000, 4000, 6000, 0))),
                    cancelled=draw(st.booleans()),
                    refunds=known,
                    landing_site=draw(st.sampled_from(LANDING_SITES)),
                )
            )
        events += [
            RefundCreated(shop="", order_id=order_id, refund=refund, currency="USD")
            for refund in refunds
        ]
        if draw(st.integers(0, 9)) == 0:
            events.append(OrderDeleted(shop="", order_id=order_id))
    return events


def a_report(campaign: str, day: int, reported_us: int, spend: int, **changes: Any) -> SpendRow:
    row = SpendRow(
        "",
        day,
        "meta",
        campaign,
        campaign,
        "Summer",
        reported_us,
        f"{spend:x}",
        "USD",
        spend,
        10,
        2,
        None,
        None,
        "",
    )
    return row._replace(**changes)


spend_reports = st.lists(
    st.builds(
        a_report,
        campaign=st.sampled_from(("1", "2")),
        day=st.integers(20_770, 20_772),
        reported_us=st.integers(0, 3),
        spend=st.integers(0, 10_000),
    ),
    max_size=12,
)


def shuffled_with_duplicates(data: st.DataObject, events: Sequence[Any]) -> list[list[Any]]:
    """Any order, some twice, in batches of any size."""
    arrivals = (
        data.draw(
            st.permutations(
                [*events, *data.draw(st.lists(st.sampled_from(list(events)), max_size=5))]
            )
        )
        if events
        else []
    )
    batches, start = [], 0
    while start < len(arrivals):
        size = data.draw(st.integers(1, 7))
        batches.append(list(arrivals[start : start + size]))
        start += size
    return batches


def cells(store: SqlStore, shop: str) -> State:
    with store.snapshot() as snapshot:
        rows = snapshot.query(
            f"SELECT {', '.join((*CELLS.key, *CELLS.measures))} FROM budget_cell "
            "WHERE shop = :shop",
            shop=shop,
        )
    width = len(CELLS.key)
    return {tuple(row[1:width]): tuple(row[width:]) for row in rows if any(row[width:])}


def rows(store: SqlStore, table: str, kind: type[Any], shop: str) -> list[Any]:
    with store.snapshot() as snapshot:
        return [
            kind(*row)
            for row in snapshot.query(
                f"SELECT {', '.join(kind._fields)} FROM {table} WHERE shop = :shop", shop=shop
            )
        ]


def counted(store: SqlStore, shop: str) -> State:
    """The right side of the central equation, from the entities."""
    sums: dict[tuple[Any, ...], list[int]] = {}
    orders = [order_cells(row) for row in rows(store, ORDERS.table, OrderRow, shop)]
    for projection in (
        *orders,
        *(spend_cells(row) for row in rows(store, SPEND.table, SpendRow, shop)),
    ):
        for _, key, amounts in projection:
            before = sums.get(key[1:], [0] * len(amounts))
            sums[key[1:]] = [one + other for one, other in zip(before, amounts, strict=True)]
    return {key: tuple(amounts) for key, amounts in sums.items() if any(amounts)}


def folded(
    store: SqlStore, shop: str, batches: Sequence[Sequence[Any]], *, checked: bool = False
) -> tuple[State, set[Any]]:
    """Cells and entities after `batches`; with `checked`, the central equation holds after each."""
    for batch in batches:
        with store.begin() as transaction:
            own = [of_shop(shop, event) for event in batch]
            budget_orders({}).apply(
                transaction, [event for event in own if not isinstance(event, SpendRow)], 0
            )
            budget_spend().apply(
                transaction, [event for event in own if isinstance(event, SpendRow)], 0
            )
        if checked:
            assert cells(store, shop) == counted(store, shop)
    entities = {
        row[1:]
        for table, kind in ((ORDERS.table, OrderRow), (SPEND.table, SpendRow))
        for row in rows(store, table, kind, shop)
    }
    return cells(store, shop), entities


@on_each_store(
    sqlite=40, postgresql=5, events=order_events(), reports=spend_reports, data=st.data()
)
def test_any_order_duplication_and_batching_ends_in_the_same_state(
    store: SqlStore, events: list[OrderChange], reports: list[SpendRow], data: st.DataObject
) -> None:
    straight = folded(store, next(shops), [[*events, *reports]])
    assert (
        folded(
            store, next(shops), shuffled_with_duplicates(data, [*events, *reports]), checked=True
        )
        == straight
    )


def test_orders_and_spend_meet_in_one_cell(store: SqlStore) -> None:
    state, _ = folded(
        store, next(shops), [[an_order("1", 1)], [a_report("1", 20_777, 0, 900, campaign_name="")]]
    )
    assert state == {(20_777, "meta", "1", "", "USD"): (1, 5000, 1, 900, 10, 2, 0, 0, 0)}


def test_a_refund_goes_back_to_the_orders_day(store: SqlStore) -> None:
    refund = RefundCreated(shop="", order_id="1", refund=Refund("r", 1200), currency="USD")
    state, _ = folded(store, next(shops), [[refund], [an_order("1", 1, day=20_700)]])
    assert state == {(20_700, "meta", "1", "", "USD"): (1, 3800, 0, 0, 0, 0, 0, 0, 0)}


@pytest.mark.parametrize(
    "changes", [{"cancelled": True}, {"test": True}, {"financial_status": "voided"}]
)
def test_orders_that_do_not_count_leave_no_trace_in_the_cells(
    store: SqlStore, changes: dict[str, Any]
) -> None:
    assert folded(store, next(shops), [[an_order("1", 1)], [an_order("1", 2, **changes)]])[0] == {}


def test_a_restatement_replaces_and_a_stale_one_does_not(store: SqlStore) -> None:
    first, restated = (
        a_report("1", 20_777, 1, 900),
        a_report("1", 20_777, 2, 700, campaign_name="Renamed", currency="EUR"),
    )
    state, _ = folded(store, next(shops), [[first], [restated], [first]])
    assert state == {(20_777, "meta", "1", "Renamed", "EUR"): (0, 0, 1, 700, 10, 2, 0, 0, 0)}


def test_shops_do_not_meet(store: SqlStore) -> None:
    one, other = next(shops), next(shops)
    folded(store, one, [[an_order("1", 1)]])
    assert folded(store, other, [[an_order("1", 1, current_total=1)]])[0] == {
        (20_777, "meta", "1", "", "USD"): (1, 1, 0, 0, 0, 0, 0, 0, 0)
    }
    assert cells(store, one) == {(20_777, "meta", "1", "", "USD"): (1, 5000, 0, 0, 0, 0, 0, 0, 0)}
