"""`orderwire rebuild`, as an operator gives it: it mends the numbers of the shops that it names."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from multidict import CIMultiDict
from typer.testing import CliRunner

from aggregates.manifest import FoldSettings
from aggregates.registry import projections
from ingest.shopify import webhooks
from orderwire.cli import app
from orderwire.serve import registry
from orderwire.settings.program import Settings
from processors.engine.processor import Counted
from processors.engine.projection import Projection, live_key, of_cells
from processors.orders.row import ORDERS, OrderRow
from stream.log.sqlite.log import SqliteLog
from stream.store.contract import Cells
from stream.store.sql.store import SqlStore
from tests.support.shops.shop_world import NOW_MS, SHOP, deliveries, fold_all

pytest_plugins = ["tests.support.shops.shop_fixtures"]
pytestmark = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)

OTHER = "other.myshopify.com"
Rows = list[tuple[Any, ...]]
PROJECTIONS = projections(FoldSettings())


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["rebuild", *arguments])
    return result.exit_code, result.output


def cells(projection: Projection) -> list[Cells]:
    return [table for table in projection.tables if isinstance(table, Cells)]


async def two_shops(settings: Settings, store: SqlStore, log: SqliteLog) -> None:
    """Two shops with the same visits, folded."""
    for shop in (SHOP, OTHER):
        await log.append(
            [
                webhooks.identify(shop, CIMultiDict(one.headers), one.body, NOW_MS + number).record
                for number, one in enumerate(deliveries(30))
            ]
        )
    await fold_all(settings, log, store, only=("orders", "carts"))


def falsify(store: SqlStore) -> None:
    """Add 7 to every cell."""
    with store.begin() as transaction:
        for projection in PROJECTIONS.values():
            for table in cells(projection):
                measure = table.measures[0]
                transaction.execute(f"UPDATE {table.table} SET {measure} = {measure} + 7")


def numbers(store: SqlStore, projection: Projection, shop: str) -> Rows:
    """The cells of a shop's live generation that count anything."""
    with store.snapshot() as snapshot:
        key = live_key(snapshot, shop, projection.name)
        found = [
            (table.table, *(getattr(row, name) for name in (*table.key[1:], *table.measures)))
            for table in cells(projection)
            for row in snapshot.query(f"SELECT * FROM {table.table} WHERE shop = :shop", shop=key)
            if any(getattr(row, name) for name in table.measures)
        ]
    return sorted(found)


def all_numbers(store: SqlStore) -> dict[tuple[str, str], Rows]:
    return {
        (name, shop): numbers(store, projection, shop)
        for name, projection in PROJECTIONS.items()
        for shop in (SHOP, OTHER)
    }


def right(store: SqlStore, expected: dict[tuple[str, str], Rows]) -> set[tuple[str, str]]:
    found = all_numbers(store)
    return {each for each in expected if found[each] == expected[each]}


@pytest.mark.parametrize(
    ("arguments", "names", "shops"),
    [
        (("all",), {*PROJECTIONS}, {SHOP, OTHER}),
        (("rfm",), {"rfm"}, {SHOP, OTHER}),
        (("days", "--shop", OTHER), {"days"}, {OTHER}),
        (("all", "--shop", "other"), {*PROJECTIONS}, {OTHER}),
    ],
)
async def test_exactly_the_numbers_that_are_named_are_counted_anew(
    shop_settings: Settings,
    store: SqlStore,
    log: SqliteLog,
    arguments: tuple[str, ...],
    names: set[str],
    shops: set[str],
) -> None:
    await two_shops(shop_settings, store, log)
    expected = all_numbers(store)
    assert all(expected.values())
    falsify(store)
    assert right(store, expected) == set()
    code, output = await asyncio.to_thread(run, *arguments)
    assert code == 0, output
    counted = f"{len(shops)} shop{'s' if len(shops) > 1 else ''}"
    for name in names:
        assert f"{name}: counted anew for {counted}\n" in output
    assert right(store, expected) == {(name, shop) for name in names for shop in shops}


async def test_a_formula_that_fails_is_named_with_what_to_do(
    shop_settings: Settings, store: SqlStore, log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(row: OrderRow) -> list[Counted]:
        raise ZeroDivisionError

    await two_shops(shop_settings, store, log)
    broken = replace(PROJECTIONS["days"], sources=(of_cells(ORDERS, failing),))
    monkeypatch.setattr(registry, "projections", lambda _: {"days": broken})
    code, output = await asyncio.to_thread(run, "days")
    assert code == 1
    assert f"days of {SHOP} cannot be counted: its formula failed: ZeroDivisionError" in output
    assert "upgrade orderwire" in output
    assert "Traceback" not in output


def test_without_a_name_the_command_lists_every_aggregate(
    shop_settings: Settings, store: SqlStore
) -> None:
    assert run() == (0, "".join(f"{name}\n" for name in (*PROJECTIONS, "all")))


def test_a_name_that_is_no_aggregate_is_refused_with_those_that_are(
    shop_settings: Settings, store: SqlStore
) -> None:
    code, output = run("rmf")
    assert code == 1
    assert all(name in output for name in ("'rmf'", *PROJECTIONS))


def test_a_shop_of_which_nothing_is_stored_is_refused(
    shop_settings: Settings, store: SqlStore
) -> None:
    code, output = run("rfm", "--shop", "nobody")
    assert code == 1
    assert "nothing is stored of that shop yet" in output
