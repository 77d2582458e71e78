"""A store written by an older program is upgraded in place, its numbers unchanged."""

import base64
import gzip
import json
import random
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from aggregates.manifest import FoldSettings
from aggregates.registry import projections
from aggregates.rfm.fold.days import PURCHASE_DAYS
from processors.checkouts.known_pages import find
from processors.engine import rebuild
from processors.engine.projection import live_key
from simulator.proof.sums import cells_differ
from stream.store.sql.dialect import dialect_of
from stream.store.sql.store import SqlStore
from tests.support.shops.folding import carts_checkouts

Rows = list[dict[str, Any]]
STORED = Path(__file__).parents[2] / "golden" / "stores"
SHOP = "demo.myshopify.com"
NOW_MS = 1_795_348_800_000
KEPT = (
    *("rfm_cell", "rfm_last_day_cell", "rfm_btyd_cell", "rfm_spend_cell", "rfm_left_out_cell"),
    *("rfm_customer", "rfm_early", "budget_cell", "budget_spend"),
    *("cart_begun", "parked_cell", "contact"),
)
"""Tables whose rows mean now what they meant then."""


def stored(revision: str = "0013") -> dict[str, Rows]:
    """By table: the rows that the program of this revision wrote."""
    packed = (STORED / f"{revision}.json.gz").read_bytes()
    tables: dict[str, Rows] = json.loads(gzip.decompress(packed))
    return tables


def value(kept: Any) -> Any:
    return base64.b64decode(kept["base64"]) if isinstance(kept, dict) else kept


def write(url: str, tables: Mapping[str, Rows], revision: str = "0013") -> None:
    """A store at this revision with these rows."""
    engine = sa.create_engine(dialect_of(url).engine_url(url))
    config = Config()
    with resources.as_file(resources.files("stream.store.migrations")) as folder:
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
        with engine.begin() as connection:
            for table, rows in tables.items():
                connection.execute(sa.text(f"DELETE FROM {table}"))  # What a migration put there.
                if rows:
                    names, parameters = (
                        ", ".join(rows[0]),
                        ", ".join(f":{name}" for name in rows[0]),
                    )
                    insert = sa.text(f"INSERT INTO {table} ({names}) VALUES ({parameters})")
                    connection.execute(
                        insert, [{name: value(kept) for name, kept in row.items()} for row in rows]
                    )
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database without a schema."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state.db'}"
    found: str = request.getfixturevalue("postgres_url")
    return found


def numbers(rows: Rows, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    """Rows by these columns, without cells that count nothing."""
    found = [tuple(row.get(name) for name in columns) for row in rows]
    return sorted(found, key=repr)


def of_table(store: SqlStore, table: str) -> Rows:
    with store.snapshot() as snapshot:
        return [row._asdict() for row in snapshot.query(f"SELECT * FROM {table}")]


def test_an_old_stores_numbers_are_unchanged_after_the_upgrade(url: str) -> None:
    before = stored()
    write(url, before)
    store = SqlStore.open(url)
    try:
        for table in KEPT:
            columns = list(before[table][0])
            assert numbers(of_table(store, table), columns) == numbers(before[table], columns)
        days = before["rfm_customer_day"]
        found = of_table(store, f"{PURCHASE_DAYS} AS d")
        assert numbers(found, list(days[0])) == numbers(days, list(days[0]))
        assert len(of_table(store, "rfm_customer_day")) < len(days)
        assert len(of_table(store, "shop_order")) == len(before["rfm_order"])
        assert len(of_table(store, "customer_alias")) == len(before["rfm_alias"])
        (position,) = [
            each["next"] for each in of_table(store, "positions") if each["processor"] == "orders"
        ]
        assert position == min(
            each["next"]
            for each in before["positions"]
            if each["processor"] in ("rfm", "budget_orders", "carts_orders")
        )
        with store.begin() as transaction:
            carts_checkouts().tick(transaction, NOW_MS)
        with store.snapshot() as snapshot:
            assert cells_differ(snapshot) == []
    finally:
        store.close()


def test_an_upgraded_store_is_rebuilt_to_the_same_numbers(url: str) -> None:
    before = stored()
    write(url, before)
    store = SqlStore.open(url)
    try:
        with store.begin() as transaction:
            carts_checkouts().tick(transaction, NOW_MS)
        made = list(projections(FoldSettings()).values())
        wanted = rebuild.request_all(store, made, SHOP, NOW_MS)
        for each in wanted:
            projection = next(one for one in made if one.name == each.name)
            while rebuild.run(store, projection, each.shop, NOW_MS):
                pass
        for name, table in (
            ("rfm", "rfm_customer"),
            ("rfm", "rfm_cell"),
            ("budget", "budget_cell"),
        ):
            with store.snapshot() as snapshot:
                key = live_key(snapshot, SHOP, name)
            assert key != SHOP
            columns = list(before[table][0])
            now = [row | {"shop": SHOP} for row in of_table(store, table) if row["shop"] == key]
            measured = [row for row in before[table] if any(_measures(table, row))]
            assert numbers(now, columns) == numbers(measured, columns)
        with store.snapshot() as snapshot:
            assert cells_differ(snapshot) == []
    finally:
        store.close()


def _measures(table: str, row: Mapping[str, Any]) -> list[Any]:
    cells = {"rfm_cell": ("customers",), "budget_cell": ("orders", "reports")}
    return [row[name] for name in cells.get(table, ("days",))]


def test_the_month_of_a_first_sale_moves_beside_it_in_one_of_its_currencies(url: str) -> None:
    first = {"shop": SHOP, "order_id": "1", "processed_ms": 1, "cohort": 24_000}
    place = {"channel": "web", "campaign": "(none)"}
    months = [
        ("a", 24_000, "USD", 2, 500),
        ("a", 24_000, "CAD", 1, 300),
        ("a", 24_001, "CAD", 1, 200),
        ("b", 24_000, "USD", 1, 100),
    ]
    columns = ("customer", "month", "currency", "orders", "revenue")
    tables = {
        "day_customer": [first | place | {"customer": each} for each in ("a", "b", "c")],
        "day_customer_month": [
            {"shop": SHOP} | dict(zip(columns, month, strict=True)) for month in months
        ],
    }
    write(url, tables, "0067")
    store = SqlStore.open(url)
    try:
        assert numbers(of_table(store, "day_customer"), ("customer", *columns[2:])) == [
            ("a", "CAD", 1, 300),
            ("b", "USD", 1, 100),
            ("c", "", 0, 0),
        ]
        assert numbers(of_table(store, "day_customer_month"), columns) == [months[0], months[2]]
    finally:
        store.close()


def test_known_buyers_move_into_pages(url: str) -> None:
    chance = random.Random(1)
    marks = [
        -(1 << 63),
        (1 << 63) - 1,
        *(chance.randrange(-(1 << 63), 1 << 63) for _ in range(200)),
    ]
    rows = [
        {"shop_mark": shop, "mark": mark, "first_order_ms": shop + number}
        for shop in (1, 2)
        for number, mark in enumerate(marks)
    ]
    write(url, {"known_buyer": rows}, "0070")
    store = SqlStore.open(url)
    try:
        with store.snapshot() as snapshot:
            for shop in (1, 2):
                assert find(snapshot, shop, marks) == {
                    mark: shop + number for number, mark in enumerate(marks)
                }
    finally:
        store.close()


def test_aggregates_that_had_read_to_different_places_are_rebuilt(url: str) -> None:
    before = stored()
    behind = before["budget_order"].pop()
    for position in before["positions"]:
        if position["processor"] == "budget_orders":
            position["next"] -= 1
    write(url, before)
    store = SqlStore.open(url)
    try:
        with store.snapshot() as snapshot:
            found = {
                (row[0], row[1])
                for row in rebuild.pending(snapshot, projections(FoldSettings()).values())
            }
            assert found == {(SHOP, "rfm"), (SHOP, "budget")}
            (order,) = snapshot.query(
                "SELECT updated_us FROM shop_order WHERE order_id = :order_id",
                order_id=behind["order_id"],
            )
            assert order[0] == -1
    finally:
        store.close()
