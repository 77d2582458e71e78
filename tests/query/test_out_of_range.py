"""A shop whose numbers pass what can be counted is alone in that: records are parked, sums stay
exact, and every other shop is answered."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aggregates.arrays import total, totals
from aggregates.registry import AGGREGATES
from aggregates.rfm.fold.customer import RFM_CELLS
from processors.engine.decoding import Decoded
from processors.engine.folding import search
from processors.shopify.orders import OrderEvent
from simulator.proof.sums import cells_differ
from stream.log.sqlite.log import SqliteLog
from stream.record import Entry, Record
from stream.store.sql.store import SqlStore
from tests.support.api.api_client import EAGER, NOW_MS, SETTINGS, TODAY, fold, serving
from tests.support.shopify.orders import SHOP, order
from tests.support.shops.folding import all_orders

OTHER = "other.myshopify.com"
TWO_SHOPS = replace(SETTINGS, shops={SHOP: EAGER, OTHER: EAGER})
HUGE = 2**62


@pytest.fixture
async def log(tmp_path: Path) -> SqliteLog:
    return await SqliteLog.open(tmp_path / "log.db")


def test_the_order_whose_sum_would_pass_64_bits_is_parked_and_nothing_else(store: SqlStore) -> None:
    processor = all_orders()
    events = [
        order("1", total=HUGE, day=TODAY),
        order("9", total=700, day=TODAY, shop=OTHER),
        order("2", total=HUGE, day=TODAY),
        order("3", total=5, day=TODAY),
    ]
    decoded: list[Decoded[OrderEvent]] = [
        Decoded(
            Entry(Record("orders", "k", "i", NOW_MS, {"shop": each.shop}, b""), 0, number), each
        )
        for number, each in enumerate(events)
    ]
    with store.begin() as transaction:
        found = search(processor, transaction, decoded, NOW_MS, 8)
        assert {place: bad.reason for place, bad in found.bad.items()} == {
            "orders/0/2": "sum_out_of_range"
        }
    with store.snapshot() as snapshot:
        assert cells_differ(snapshot) == []
        rows = snapshot.query("SELECT order_id FROM shop_order ORDER BY order_id")
        assert [row[0] for row in rows] == ["1", "3", "9"]
        stopped = snapshot.query("SELECT shop FROM projection WHERE stopped <> ''")
        assert stopped == []


async def test_a_shop_total_beyond_64_bits_is_answered_exactly(
    store: SqlStore, log: SqliteLog
) -> None:
    days = range(12)
    fold(
        store,
        [[order(f"{n}", customer=f"{n}", total=HUGE, day=TODAY - n) for n in days]],
    )
    async with serving(store, log) as api:
        rfm = await api.answer("/v1/rfm")
        exact = f"{12 * HUGE // 100}.{12 * HUGE % 100:02d}"
        assert rfm["revenue"]["amount"] == exact
        boxes = [int(each["revenue"]["amount"].replace(".", "")) for each in rfm["grid"]]
        assert sum(boxes) == 12 * HUGE
    await log.close()


async def test_one_shops_bad_cell_fails_only_that_shops_answer(
    store: SqlStore, log: SqliteLog
) -> None:
    for shop in (SHOP, OTHER):
        fold(
            store,
            [[order(f"{n}", customer=f"{n}", shop=shop, day=TODAY) for n in range(9)]],
            processor=all_orders(),
        )
    with store.begin() as transaction:
        transaction.add(RFM_CELLS, {(SHOP, TODAY, 1, 1, 1000): (2**40, 0, 0)})
    async with serving(store, log, TWO_SHOPS) as api:
        for path in ("/v1/rfm", "/v1/rfm/customers"):
            problem = await api.answer(path, {"shop": SHOP}, status=500)
            assert problem["type"] == "/docs#out-of-range"
            assert "orderwire rebuild" in problem["next_step"]
            await api.answer(path, {"shop": OTHER})
        for manifest in AGGREGATES:
            if manifest.name != "rfm":
                await api.answer(f"/v1/{manifest.name}", {"shop": SHOP})
    await log.close()


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(-(2**63), 2**63 - 1)), max_size=40),
)
def test_sums_of_cells_are_exact_at_any_size(cells: list[tuple[int, int]]) -> None:
    where = np.array([cell for cell, _ in cells], dtype=np.int64)
    values = np.array([value for _, value in cells], dtype=np.int64)
    assert total(values) == sum(value for _, value in cells)
    assert totals(where, values, 5) == [
        sum(value for cell, value in cells if cell == number) for number in range(5)
    ]
