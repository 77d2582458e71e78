"""The job that fetches what Shopify Events named and did not bring."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from ingest.shopify.admin.errors import AccessDenied, TokenRefused
from orderwire.serve.jobs.refetch import PAUSES_MS, Refetching
from orderwire.serve.schedule.job import Done, Turn
from orderwire.serve.schedule.services import Services
from processors.orders.refetch import RefetchRow
from query.status.refetch import read_refetch
from simulator.admin.stand_in import AdminCall, AdminStandIn
from simulator.servers.stand_in import ScriptedReply
from simulator.shop.sale import Sale
from stream.record import Entry, Record
from stream.store.sql.store import SqlStore
from tests.support.shopify.admin_client import admin_of, books, client_of, kept
from tests.support.shopify.twin_orders import SHOP, entry, event_entry, graphql, sale
from tests.support.shops.folding import rfm_orders

START_MS = 1_795_300_000_000


@dataclass
class Shop:
    """Folds what the job appends."""

    store: SqlStore
    now_ms: int = START_MS
    appended: list[Record] = field(default_factory=list)

    def append(self, records: Sequence[Record]) -> None:
        self.appended += records

    def fold(self, *entries: Entry) -> None:
        orders = rfm_orders()
        events = [event for each in entries if (event := orders.decode(each)) is not None]
        with self.store.begin() as transaction:
            orders.apply(transaction, events, self.now_ms)

    def fold_appended(self) -> None:
        self.fold(*(Entry(record, 0, 0) for record in self.appended))

    def waiting(self) -> list[RefetchRow]:
        with self.store.snapshot() as snapshot:
            names = ", ".join(RefetchRow._fields)
            sql = f"SELECT {names} FROM order_refetch WHERE shop = :shop ORDER BY gid"
            return [RefetchRow(*row) for row in snapshot.query(sql, shop=SHOP)]

    async def run(self, admin: AdminStandIn) -> Done:
        job = Refetching(
            Services(self.store, self.append), lambda _: client_of(admin), lambda: self.now_ms
        )
        return await asyncio.to_thread(job.run, Turn(SHOP, self.now_ms))


@pytest.fixture
def shop(store: SqlStore) -> Shop:
    with store.begin() as transaction:
        transaction.execute("DELETE FROM order_refetch")
    return Shop(store)


def denied(one: Sale) -> Entry:
    body = graphql(one).event() | {"data": None, "query_errors": [{"message": "denied"}]}
    return entry("Order", body, one)


def row_of(store: SqlStore, one: Sale) -> tuple[str, int, int]:
    with store.snapshot() as snapshot:
        (row,) = snapshot.query(
            "SELECT customer, total, current_total FROM shop_order"
            " WHERE shop = :shop AND order_id = :order_id",
            shop=SHOP,
            order_id=str(one.order_id),
        )
    return row.customer, row.total, row.current_total


async def test_an_order_that_came_with_query_errors_is_fetched_and_counted(shop: Shop) -> None:
    one = sale(3)
    shop.fold(denied(one))
    async with admin_of(books(kept(one))) as (admin, _):
        done = await shop.run(admin)
    assert done.note == "1 fetched"
    shop.fold_appended()
    assert shop.waiting() == []
    assert row_of(shop.store, one)[1] == one.total


async def test_lines_that_were_cut_short_are_completed(shop: Shop) -> None:
    one = next(one for one in map(sale, range(100)) if len(one.lines) > 1)
    shop.fold(event_entry(one, lines=1))
    async with admin_of(books(kept(one))) as (admin, _):
        await shop.run(admin)
    shop.fold_appended()
    with shop.store.snapshot() as snapshot:
        (row,) = snapshot.query(
            "SELECT detail FROM shop_order WHERE shop = :shop AND order_id = :order_id",
            shop=SHOP,
            order_id=str(one.order_id),
        )
    assert all(line.product.sku.encode() in bytes(row.detail) for line in one.lines)
    assert shop.waiting() == []


async def test_what_was_fetched_is_not_fetched_again_before_a_pause(shop: Shop) -> None:
    one = sale(3)
    shop.fold(denied(one))
    async with admin_of(books(kept(one))) as (admin, _):
        await shop.run(admin)
        await shop.run(admin)
        assert len(shop.appended) == 1
        assert shop.waiting()[0].tries == 1
        shop.now_ms += PAUSES_MS[0]
        await shop.run(admin)
        assert len(shop.appended) == 2


async def test_a_delivery_that_comes_meanwhile_is_fetched_for_itself(shop: Shop) -> None:
    one = sale(3)
    shop.fold(denied(one))

    def meanwhile(_: AdminCall) -> ScriptedReply | None:
        later = sale(3)
        later.triggered = later.triggered.replace(year=2027)
        shop.fold(denied(later))
        return None

    async with admin_of(books(kept(one))) as (admin, _):
        admin.script = meanwhile
        await shop.run(admin)
        admin.script = None
        shop.fold_appended()
        assert len(shop.waiting()) == 1
        await shop.run(admin)
    shop.fold_appended()
    assert shop.waiting() == []


async def test_an_order_that_shopify_does_not_have_is_waited_for_no_longer(shop: Shop) -> None:
    shop.fold(denied(sale(3)))
    async with admin_of(books()) as (admin, _):
        await shop.run(admin)
    assert (shop.waiting(), shop.appended) == ([], [])


@pytest.mark.parametrize(
    ("break_it", "error"),
    [
        (lambda admin: setattr(admin.access, "static", ()), TokenRefused),
        (lambda admin: setattr(admin.access, "scopes", frozenset()), AccessDenied),
    ],
    ids=["no_token", "no_scope"],
)
async def test_a_token_that_is_not_good_fails_the_turn_and_keeps_what_waits(
    shop: Shop, break_it: Callable[[AdminStandIn], None], error: type[Exception]
) -> None:
    shop.fold(denied(sale(3)))
    async with admin_of(books(kept(sale(3)))) as (admin, _):
        break_it(admin)
        with pytest.raises(error):
            await shop.run(admin)
    assert [row.tries for row in shop.waiting()] == [0]


async def test_killed_between_append_and_note_it_fetches_once_more(shop: Shop) -> None:
    one = sale(3)
    shop.fold(denied(one))

    class Killed(BaseException):
        pass

    def killed(records: Sequence[Record]) -> None:
        shop.appended += records
        raise Killed

    async with admin_of(books(kept(one))) as (admin, _):
        job = Refetching(
            Services(shop.store, killed), lambda _: client_of(admin), lambda: shop.now_ms
        )
        with pytest.raises(Killed):
            await asyncio.to_thread(job.run, Turn(SHOP, shop.now_ms))
        await shop.run(admin)
    shop.fold_appended()
    assert shop.waiting() == []
    assert len(shop.appended) == 2


def test_without_an_admin_api_status_says_what_to_set(shop: Shop) -> None:
    shop.fold(denied(sale(3)))
    with shop.store.snapshot() as snapshot:
        (status,) = read_refetch(snapshot, {SHOP})
        assert read_refetch(snapshot, {"other.myshopify.com"}) == []
    assert (status.waiting, status.lacking) == (1, {"query_errors": 1})
    assert "SHOPIFY_ADMIN_TOKEN" in (status.go_on or "")
