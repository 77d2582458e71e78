"""`orderwire redact`, as an operator gives it."""

import pytest
from typer.testing import CliRunner

from orderwire.cli import app
from orderwire.settings.program import Settings
from processors.privacy.subject import is_redacted
from stream.log.sqlite.log import SqliteLog
from stream.store.sql.store import SqlStore
from tests.support.shops.redacted_person import CUSTOMER, ORDERS, records
from tests.support.shops.shop_world import SHOP, fold_all

pytest_plugins = ["tests.support.shops.shop_fixtures"]
pytestmark = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


async def world(settings: Settings, store: SqlStore, log: SqliteLog) -> None:
    await log.append(records())
    await fold_all(settings, log, store)


def customers(store: SqlStore) -> set[str]:
    with store.snapshot() as snapshot:
        return {row.customer for row in snapshot.query("SELECT customer FROM shop_order")}


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["redact", "--shop", SHOP, *arguments])
    return result.exit_code, result.output


@pytest.mark.parametrize(
    "whom", [("--customer", str(CUSTOMER)), ("--order", str(ORDERS[1])), ("--all",)]
)
async def test_a_redaction_by_hand_erases_and_says_what(
    shop_settings: Settings, store: SqlStore, log: SqliteLog, whom: tuple[str, ...]
) -> None:
    await world(shop_settings, store, log)
    before = customers(store)
    assert len(before) == 2
    code, output = await _in_thread(*whom, "--dry-run")
    assert (code, customers(store)) == (0, before)
    assert "orders" in output
    code, output = await _in_thread(*whom)
    assert code == 0, output
    assert "erased: 2 orders" in output
    assert len(customers(store)) == 1
    assert all(is_redacted(customer) for customer in customers(store))


async def _in_thread(*arguments: str) -> tuple[int, str]:
    import asyncio

    return await asyncio.to_thread(run, *arguments)


@pytest.mark.parametrize("whom", [(), ("--customer", "1", "--all"), ("--customer", "ada")])
async def test_a_request_that_names_nobody_or_two_is_refused(
    shop_settings: Settings, store: SqlStore, log: SqliteLog, whom: tuple[str, ...]
) -> None:
    code, _ = await _in_thread(*whom)
    assert code == 1
