"""A webhook that never came is found, counted by topic and hour, and its Purchase sent once; the
day's statement names exactly the orders that are missing."""

import asyncio
import threading
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from ingest.shopify.admin.client import AdminClient
from ingest.shopify.admin.tokens import StaticToken
from orderwire.cli import app
from orderwire.serve.reconcile.reconciling import GRACE_S, OVERLAP_S, Found, Reconciling
from orderwire.serve.reconcile.statement_day import read_day
from orderwire.settings.program import Settings
from query.endpoints.statement import Statement, statement, usual_account
from simulator.admin.books import Books
from simulator.admin.stand_in import AdminStandIn
from simulator.shop.delivery import Delivery
from stream.log.sqlite.log import SqliteLog
from stream.record import Record
from stream.store.sql.store import SqlStore
from stream.times import EPOCH
from tests.support.shopify.admin_books import books_after, order_of
from tests.support.shops.shop_world import NOW, SECRET, SHOP, deliveries, filled, fold_all

runner = CliRunner()
LATER_S = NOW.timestamp() + 3_600
DAY = NOW.date()
LOTS: dict[str, Any] = {"maximum": 100_000.0, "restore": 100_000.0}


def connected(store: SqlStore) -> None:
    """As if the shop's webhooks had come for a week."""
    with store.begin() as transaction:
        transaction.execute("UPDATE outbox SET received_ms = received_ms - 604800000")


def books(sent: Sequence[Delivery]) -> Books:
    """What the Admin API has after all of it."""
    return books_after(SHOP, sent)


def number(order: dict[str, Any]) -> str:
    return str(order["id"]).rpartition("/")[2]


class Log:
    """Appends from the job's thread, as the scheduler's services do."""

    def __init__(self, log: SqliteLog) -> None:
        self._log, self._loop = log, asyncio.get_running_loop()
        self.records: list[Record] = []

    def append(self, records: Sequence[Record]) -> None:
        self.records += records
        asyncio.run_coroutine_threadsafe(self._log.append(records), self._loop).result(10)


async def reconcile(
    admin: AdminStandIn, store: SqlStore, log: Log, *, at_s: float = LATER_S, dry_run: bool = False
) -> Found:
    client = AdminClient(
        f"{admin.url}/admin/api/2026-10/graphql.json", StaticToken("shpat_static"), patience_s=10
    )
    work = Reconciling(
        client,
        store,
        SHOP,
        log.append,
        threading.Event(),
        dry_run,
        clock=lambda: at_s,
        look_again_s=0.0,
    )
    return await asyncio.to_thread(lambda: work.run(work.since_last()))


async def day_of(admin: AdminStandIn, settings: Settings, store: SqlStore) -> Statement:
    client = AdminClient(
        f"{admin.url}/admin/api/2026-10/graphql.json", StaticToken("shpat_static"), patience_s=10
    )
    zone = settings.shops[SHOP].zone
    after_s = (NOW + timedelta(days=1)).timestamp()
    await asyncio.to_thread(read_day, client, store, SHOP, DAY, zone, lambda: after_s)
    with store.snapshot() as snapshot:
        return statement(snapshot, SHOP, (DAY - EPOCH).days, "meta", int(after_s * 1000), behind=0)


def missing(made: Statement) -> set[str]:
    return {one for item in made.items for one in item.missing.ids}


def adds_up(made: Statement) -> bool:
    for item in made.items:
        parts = [item.sent, item.maybe_accepted, item.dead, item.waiting, item.missing]
        parts += item.skipped.values()
        if item.shopify.orders != sum(part.orders for part in parts):
            return False
        cents = [round(float(part.value["amount"]) * 100) for part in parts]
        if round(float(item.shopify.value["amount"]) * 100) != sum(cents):
            return False
    return True


async def purchases(store: SqlStore) -> dict[str, int]:
    with store.snapshot() as snapshot:
        rows = snapshot.query(
            "SELECT order_id, count(*) AS rows_ FROM outbox WHERE event_name = 'Purchase'"
            " GROUP BY order_id"
        )
    return {row.order_id: row.rows_ for row in rows}


async def test_orders_whose_webhooks_were_dropped_are_found_counted_and_sent_once(
    shop_settings: Settings, store: SqlStore, tmp_path: Path
) -> None:
    sent = deliveries(150)
    orders = sorted({one for each in sent if (one := order_of(each))})
    dropped = set(orders[:: len(orders) // 3])
    log = await SqliteLog.open(tmp_path / "log.db")
    await filled(shop_settings, store, log, [e for e in sent if order_of(e) not in dropped])
    connected(store)
    services = Log(log)
    async with AdminStandIn(books(sent), clock=lambda: LATER_S, **LOTS) as admin:
        before = await day_of(admin, shop_settings, store)
        assert missing(before) == dropped
        assert adds_up(before)
        assert before.exact

        look = await reconcile(admin, store, services, dry_run=True)
        assert {each.order_id for each in look.missed} == dropped
        assert services.records == []

        found = await reconcile(admin, store, services)
        assert {each.order_id for each in found.missed} == dropped
        assert {each.topic for each in found.missed} == {"orders/create"}
        assert sum(count for *_, count in found.by_topic_and_hour) == len(dropped)
        assert all(hour_s % 3_600 == 0 for _, hour_s, _ in found.by_topic_and_hour)
        assert {record.headers["origin"] for record in services.records} == {"reconcile"}
        await fold_all(shop_settings, log, store)

        again = await reconcile(admin, store, services)
        assert again.missed == ()
        assert again.span.from_s == found.span.to_s - OVERLAP_S
        after = await day_of(admin, shop_settings, store)
        assert missing(after) == set()
        assert adds_up(after)
        assert {one for i in after.items for one in i.missed_by_webhook.ids} == dropped
    rows = await purchases(store)
    assert dropped <= rows.keys()
    assert set(rows.values()) == {1}
    await log.close()


async def test_a_change_that_was_dropped_is_named_by_the_webhook_that_would_have_brought_it(
    shop_settings: Settings, store: SqlStore, tmp_path: Path
) -> None:
    sent = deliveries(150)
    log = await SqliteLog.open(tmp_path / "log.db")
    await filled(shop_settings, store, log, sent)
    connected(store)
    held = books(sent)
    with store.snapshot() as snapshot:
        paid = {
            row.order_id
            for row in snapshot.query(
                "SELECT order_id FROM shop_order WHERE financial_status = 'paid' AND cancelled = 0"
            )
        }
    chosen = [order for order in held.orders if number(order) in paid][:2]
    later = (NOW + timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    held.orders.keep({**chosen[0], "updatedAt": later, "cancelledAt": later})
    held.orders.keep({**chosen[1], "updatedAt": later, "note": "call first"})
    async with AdminStandIn(held, clock=lambda: LATER_S, **LOTS) as admin:
        found = await reconcile(admin, store, Log(log))
    await log.close()
    assert {(each.order_id, each.topic) for each in found.missed} == {
        (number(chosen[0]), "orders/cancelled"),
        (number(chosen[1]), "orders/updated"),
    }


async def test_what_changed_in_the_last_minutes_is_left_to_the_next_run(
    shop_settings: Settings, store: SqlStore, tmp_path: Path
) -> None:
    sent = deliveries(20)
    log = await SqliteLog.open(tmp_path / "log.db")
    services = Log(log)
    async with AdminStandIn(books(sent), clock=lambda: LATER_S, **LOTS) as admin:
        early = await reconcile(admin, store, services, at_s=NOW.timestamp() + 1)
        assert (early.seen, early.missed) == (0, ())
        late = await reconcile(admin, store, services, at_s=NOW.timestamp() + GRACE_S + 60)
        assert late.seen == len(admin.books.orders)
    await log.close()


async def test_what_was_sold_before_the_first_webhook_is_history_and_never_sent(
    shop_settings: Settings, store: SqlStore, tmp_path: Path
) -> None:
    sent = deliveries(40)
    orders = sorted({one for each in sent if (one := order_of(each))})
    log = await SqliteLog.open(tmp_path / "log.db")
    services = Log(log)
    # The one order that comes by webhook comes after all others were sold.
    await filled(shop_settings, store, log, [e for e in sent if order_of(e) == orders[-1]])
    async with AdminStandIn(books(sent), clock=lambda: LATER_S, **LOTS) as admin:
        found = await reconcile(admin, store, services)
    assert (found.missed, found.history) == ((), len(orders) - 1)
    await fold_all(shop_settings, log, store)
    await log.close()
    assert (await purchases(store)).keys() == {orders[-1]}
    with store.snapshot() as snapshot:
        assert snapshot.query("SELECT count(*) FROM shop_order")[0][0] == len(orders)


async def test_one_in_a_hundred_dropped_is_named_exactly(
    shop_settings: Settings, store: SqlStore, tmp_path: Path
) -> None:
    sent = deliveries(300)
    orders = sorted({one for each in sent if (one := order_of(each))})
    dropped = set(orders[7::100])
    assert dropped
    log = await SqliteLog.open(tmp_path / "log.db")
    await filled(shop_settings, store, log, [e for e in sent if order_of(e) not in dropped])
    await log.close()
    async with AdminStandIn(books(sent), clock=lambda: LATER_S, **LOTS) as admin:
        made = await day_of(admin, shop_settings, store)
    assert missing(made) == dropped
    assert adds_up(made)
    assert sum(item.shopify.orders for item in made.items) == len(orders)


async def test_a_statement_that_is_not_exact_says_why(
    shop_settings: Settings, store: SqlStore
) -> None:
    sent = deliveries(5)
    async with AdminStandIn(books(sent), clock=lambda: LATER_S, **LOTS) as admin:
        client = AdminClient(
            f"{admin.url}/admin/api/2026-10/graphql.json", StaticToken("shpat_static")
        )
        await asyncio.to_thread(
            read_day, client, store, SHOP, DAY, shop_settings.shops[SHOP].zone, NOW.timestamp
        )
    with store.snapshot() as snapshot:
        made = statement(snapshot, SHOP, (DAY - EPOCH).days, "meta", int(LATER_S * 1000), behind=3)
    assert not made.exact
    assert made.reason is not None
    assert "the day was not over" in made.reason
    assert "3 records wait" in made.reason


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_the_command_prints_the_statement_and_the_ids_that_are_missing(
    shop_settings: Settings, store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = deliveries(40)
    dropped = next(one for each in sent if (one := order_of(each)))
    log = await SqliteLog.open(tmp_path / "log.db")
    await filled(shop_settings, store, log, [e for e in sent if order_of(e) != dropped])
    await log.close()
    monkeypatch.setenv("SHOPIFY_ADMIN_TOKEN", "shpat_static")
    async with AdminStandIn(books(sent), **LOTS) as admin:
        monkeypatch.setenv("SHOPIFY_ADMIN_URL", admin.url)
        answer = await asyncio.to_thread(
            runner.invoke, app, ["reconcile", "--statement", date.isoformat(DAY)]
        )
        assert answer.exit_code == 0, answer.output
        assert f"missing: order {dropped}" in answer.output
        found = await asyncio.to_thread(runner.invoke, app, ["reconcile", "--hours", "1440"])
        assert found.exit_code == 0, found.output


async def test_a_day_of_more_orders_than_shopify_pages_through_is_read_by_the_hour(
    shop_settings: Settings, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingest.shopify.admin.past.day.MOST", 3)
    sent = deliveries(40)
    async with AdminStandIn(books(sent), clock=lambda: LATER_S, **LOTS) as admin:
        made = await day_of(admin, shop_settings, store)
        assert admin.calls.count("OrdersOfDay") == 24
        assert sum(item.shopify.orders for item in made.items) == len(admin.books.orders)


def test_a_statement_is_about_meta_or_else_about_an_account_that_the_shop_has() -> None:
    assert usual_account(["webhook", "meta", "erp"]) == "meta"
    assert usual_account(["webhook", "erp"]) == "erp"
    assert usual_account([]) == "meta"


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_the_statement_of_a_shop_without_meta_is_about_its_own_account(
    shop_settings: Settings, store: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was refused before: the shop has no account meta."""
    for name in ("META_PIXEL_ID", "META_ACCESS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "orderwire.toml").write_text(
        f'[shops."{SHOP}"]\nwebhook_secret = "{SECRET}"\nadmin_token = "shpat_static"\n'
        f'[shops."{SHOP}".destinations.erp]\nkind = "webhook"\n'
        'url = "https://erp.example.com/orders"\n'
        'secret = "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"\n'
    )
    log = await SqliteLog.open(tmp_path / "log.db")
    await log.close()
    async with AdminStandIn(books(deliveries(5)), **LOTS) as admin:
        monkeypatch.setenv("SHOPIFY_ADMIN_URL", admin.url)
        arguments = ["reconcile", "--statement", date.isoformat(DAY), "--shop", SHOP, "--json"]
        answer = await asyncio.to_thread(runner.invoke, app, arguments)
    assert answer.exit_code == 0, answer.output
    assert '"destination": "erp"' in answer.output
