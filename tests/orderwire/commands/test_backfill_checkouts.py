"""Checkouts of the past count as they would have by webhook: left, bought after a while, or bought
at once, each once."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from orderwire.cli import app
from orderwire.settings.program import Settings
from simulator.admin import from_classic
from simulator.admin.access import Access
from simulator.admin.answers import FIELDS
from simulator.admin.books import Books, shop
from simulator.admin.documents import DocumentRefused, denied
from simulator.admin.stand_in import AdminStandIn
from stream.log.sqlite.log import SqliteLog
from stream.store.sql.store import SqlStore
from tests.support.shopify.admin_shop import bodies
from tests.support.shops.shop_world import NOW, SHOP, deliveries, filled, fold_all

runner = CliRunner()
LOTS: dict[str, Any] = {"maximum": 100_000.0, "restore": 100_000.0}
pytestmark = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


def at(hours_ago: float) -> str:
    return (NOW - timedelta(hours=hours_ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def an_order(number: int, cart: str | None, hours_ago: float) -> dict[str, Any]:
    body = next(body for topic, body in bodies(1) if topic.startswith("orders/"))
    moment = at(hours_ago)
    made = from_classic.order({**body, "id": number, "source_name": "web", "cart_token": cart})
    times = dict.fromkeys(("createdAt", "processedAt", "updatedAt"), moment)
    return {**made, **times, "checkoutToken": f"{number:032x}", "cancelledAt": None}


def left(number: int, cart: str, hours_ago: float, completed: str | None = None) -> dict[str, Any]:
    money = {"amount": "35.0", "currencyCode": "USD"}
    return {
        "id": f"gid://shopify/AbandonedCheckout/{number}",
        "abandonedCheckoutUrl": f"https://shop.example/1/checkouts/ac/{cart}/recover?key=x",
        "createdAt": at(hours_ago),
        "updatedAt": at(hours_ago),
        "completedAt": completed,
        "totalPriceSet": {"shopMoney": money, "presentmentMoney": money},
        "customer": None,
    }


def world() -> Books:
    held = Books(shop(SHOP))
    held.orders.keep(an_order(1, "a" * 32, 30))
    held.orders.keep(an_order(2, "b" * 32, 20))
    held.orders.keep(an_order(3, None, 10))
    held.checkouts.keep(left(11, "b" * 32, 30, completed=at(20)))
    held.checkouts.keep(left(12, "c" * 32, 5))
    return held


async def run(admin: AdminStandIn) -> str:
    done = await asyncio.to_thread(runner.invoke, app, ["backfill", "--days", "3650"])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(autouse=True)
def young(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program's clock stands where the orders are young."""
    monkeypatch.setattr("time.time", lambda: NOW.timestamp() + 60)
    monkeypatch.setenv("SHOPIFY_ADMIN_TOKEN", "shpat_static")


def states(store: SqlStore) -> dict[str, str]:
    with store.snapshot() as snapshot:
        rows = snapshot.query("SELECT token, state FROM cart_checkout WHERE updated_us >= 0")
    return {row.token: row.state for row in rows}


async def test_each_checkout_counts_once_in_its_state(
    shop_settings: Settings, store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with AdminStandIn(world(), clock=NOW.timestamp, **LOTS) as admin:
        monkeypatch.setenv("SHOPIFY_ADMIN_URL", admin.url)
        assert "3 orders and 2 abandoned checkouts read" in await run(admin)
    log = await SqliteLog.open(tmp_path / "log.db")
    await fold_all(shop_settings, log, store)
    await log.close()
    assert states(store) == {
        f"cart:{'a' * 32}": "completed",
        f"cart:{'b' * 32}": "recovered_direct",
        f"cart:{'c' * 32}": "open",
    }


async def test_a_checkout_that_webhooks_have_brought_is_not_brought_again(
    shop_settings: Settings, store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = await SqliteLog.open(tmp_path / "log.db")
    await filled(shop_settings, store, log, deliveries(60))
    before = states(store)
    with store.snapshot() as snapshot:
        rows = snapshot.query("SELECT cart_token FROM cart_checkout WHERE cart_token <> ''")
    held = Books(shop(SHOP))
    for number, row in enumerate(rows):
        held.checkouts.keep(left(number, row.cart_token, 5))
    async with AdminStandIn(held, clock=NOW.timestamp, **LOTS) as admin:
        monkeypatch.setenv("SHOPIFY_ADMIN_URL", admin.url)
        assert " 0 abandoned checkouts read" in await run(admin)
    await fold_all(shop_settings, log, store)
    await log.close()
    assert states(store) == before
    assert before


async def test_where_checkouts_may_not_be_read_orders_are(
    shop_settings: Settings, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise DocumentRefused([denied("read_orders", ("abandonedCheckouts",))])

    monkeypatch.setitem(FIELDS, "abandonedCheckouts", refused)
    async with AdminStandIn(world(), access=Access(NOW.timestamp), **LOTS) as admin:
        monkeypatch.setenv("SHOPIFY_ADMIN_URL", admin.url)
        output = await run(admin)
    assert "no checkouts" in output
    assert "3 orders and 0 abandoned checkouts read" in output
