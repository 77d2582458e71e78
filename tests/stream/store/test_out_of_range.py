"""Numbers beyond 64 bits: refused, in every table of cells, whatever the database."""

from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aggregates.manifest import FoldSettings
from aggregates.registry import projections
from destinations.delivery.life import PAST, PAST_DAYS
from destinations.delivery.rows import CELLS as OUTBOX_CELLS
from destinations.delivery.rows import DAY_CELLS
from processors.engine import rebuild
from processors.engine.parking import PARKED_CELLS
from processors.engine.projection import new_row
from processors.orders.row import blank
from simulator.proof.sums import cells_differ
from stream.money import MOST_UNITS
from stream.store.contract import Cells, OutOfRange
from stream.store.sql.store import SqlStore
from tests.stream.store.test_upgrade import write

TABLES = [
    *(OUTBOX_CELLS, DAY_CELLS, PAST, PAST_DAYS, PARKED_CELLS),
    *(
        table
        for each in projections(FoldSettings()).values()
        for table in each.tables
        if isinstance(table, Cells)
    ),
]
TEXTS = frozenset(
    [
        *("shop", "currency", "state", "channel", "campaign_id", "campaign", "by_what", "value"),
        *("reason", "destination", "kind", "name", "outcome", "event_name"),
    ]
)
OF_CARTS = frozenset(("cart_cohort",))
"""Where `outcome` is a number."""


def key_of(cells: Cells) -> tuple[str | int, ...]:
    return tuple(
        "a" if name in TEXTS and not (name == "outcome" and cells.table in OF_CARTS) else 1
        for name in cells.key
    )


@pytest.mark.parametrize("cells", TABLES, ids=lambda cells: cells.table)
def test_no_sum_of_a_cell_passes_64_bits(store: SqlStore, cells: Cells) -> None:
    key, most = key_of(cells), tuple([2**62] * len(cells.measures))
    with store.begin() as transaction:
        transaction.add(cells, {key: most})
    with pytest.raises(OutOfRange), store.begin() as transaction:
        transaction.add(cells, {key: most})
    with store.snapshot() as snapshot:
        (row,) = snapshot.changes(cells, None).rows
    assert tuple(row) == (*key, *most)
    assert {type(each) for each in row} <= {int, str}


def test_a_single_number_beyond_64_bits_is_refused_alike(store: SqlStore) -> None:
    cells = TABLES[0]
    with pytest.raises(OutOfRange), store.begin() as transaction:
        transaction.add(cells, {key_of(cells): tuple([2**63] * len(cells.measures))})


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.integers(-(2**62), 2**62), max_size=6))
def test_a_cell_holds_the_exact_sum_of_what_was_not_refused(
    store: SqlStore, deltas: list[int]
) -> None:
    cells = OUTBOX_CELLS
    key = key_of(cells)
    with store.begin() as transaction:
        transaction.execute(f"DELETE FROM {cells.table}")
    expected = 0
    for delta in deltas:
        try:
            with store.begin() as transaction:
                transaction.add(cells, {key: (delta,)})
        except OutOfRange:
            assert not -(2**63) <= expected + delta < 2**63
        else:
            expected += delta
    with store.snapshot() as snapshot:
        assert sum(row[-1] for row in snapshot.changes(cells, None).rows) == expected


LOOSE = """
    CREATE TABLE rfm_cell (
        shop TEXT NOT NULL, last_day BIGINT NOT NULL, orders BIGINT NOT NULL,
        newcomer BIGINT NOT NULL, monetary BIGINT NOT NULL, customers BIGINT DEFAULT '0' NOT NULL,
        order_count BIGINT DEFAULT '0' NOT NULL, revenue BIGINT DEFAULT '0' NOT NULL,
        PRIMARY KEY (shop, last_day, orders, newcomer, monetary)
    ) WITHOUT ROWID
"""
"""As programs before 0061 made it."""


def test_an_upgrade_counts_shops_anew_that_had_sums_beyond(tmp_path: Path) -> None:
    url, bad, good = f"sqlite:///{tmp_path / 'state.db'}", "bad.example", "good.example"
    orders = [
        row._asdict()
        for shop in (bad, good)
        for row in (
            blank(shop, "1")._replace(total=2 * MOST_UNITS if shop == bad else 7),
            blank(shop, "2")._replace(total=100, current_total=100),
        )
    ]
    facts = {"updated_us": 10**15, "day": 20_000, "currency": "USD", "customer": "77"}
    states = [
        new_row(shop, projection.name, projection.version)._asdict()
        for shop in (bad, good)
        for projection in projections(FoldSettings()).values()
    ]
    write(
        url,
        {"shop_order": [row | facts for row in orders], "projection": states},
        revision="0060",
    )
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE rfm_cell")
        connection.exec_driver_sql(LOOSE)
        for shop, revenue in ((bad, "9.5e18"), (good, "7")):
            connection.exec_driver_sql(
                f"INSERT INTO rfm_cell VALUES ('{shop}', 20000, 1, 1, 5, 1, 1, {revenue})"
            )
    engine.dispose()
    store = SqlStore.open(url)
    try:
        made = projections(FoldSettings())
        with store.snapshot() as snapshot:
            waiting = rebuild.pending(snapshot, made.values())
            assert {each.shop for each in waiting} == {bad}
            assert snapshot.query("SELECT shop, revenue FROM rfm_cell") == [(good, 7)]
        for each in waiting:
            while rebuild.run(store, made[each.name], each.shop, 1_800_000_000_000):
                pass
        with store.snapshot() as snapshot:
            assert [line for line in cells_differ(snapshot) if bad in line] == []
            rows = snapshot.query(
                "SELECT order_id, updated_us, total FROM shop_order WHERE shop = :s ORDER BY 1",
                s=bad,
            )
            assert rows == [("1", -1, 0), ("2", 10**15, 100)]
            (counted,) = snapshot.query(
                "SELECT CAST(sum(revenue) AS BIGINT) FROM budget_cell WHERE shop LIKE :s",
                s=f"{bad}#%",
            )
            assert counted == (100,)
    finally:
        store.close()
