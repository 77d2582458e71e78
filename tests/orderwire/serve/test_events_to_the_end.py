"""Deliveries of Shopify Events from the receiver to the orders counted, whatever they lack."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

from orderwire.serve.jobs.refetch import Refetching
from orderwire.serve.schedule.job import Turn
from orderwire.serve.schedule.services import Services
from processors.orders.processor import OrdersProcessor
from simulator.shop.sale import Sale
from stream.log.sqlite.log import SqliteLog
from stream.record import Record
from stream.store.sql.store import SqlStore
from tests.support.api.receiving import NOW_MS, SECRET, SHOP, running, signed
from tests.support.shopify.admin_client import admin_of, books, client_of, kept
from tests.support.shopify.twin_orders import graphql, sale
from tests.support.shops.folding import rfm_orders


def by_events(body: bytes, number: int) -> dict[str, str]:
    """Headers as Shopify Events sends them, in the spelling without `X-`."""
    headers = signed(body, "Order", SECRET, SHOP)
    newer = {name.removeprefix("X-"): value for name, value in headers.items()}
    return {**newer, "Shopify-Webhook-Id": f"w{number}"}


async def fold(log: SqliteLog, store: SqlStore, orders: OrdersProcessor) -> None:
    for partition, span in (await log.spans("orders")).items():
        entries = await log.scan("orders", partition, span.first, 1000)
        events = [event for entry in entries if (event := orders.decode(entry)) is not None]
        with store.begin() as transaction:
            orders.apply(transaction, events, NOW_MS)


def totals(store: SqlStore) -> dict[str, int]:
    with store.snapshot() as snapshot:
        rows = snapshot.query("SELECT order_id, total FROM shop_order WHERE shop = :s", s=SHOP)
    return {row.order_id: row.total for row in rows}


async def test_every_order_counts_once_whether_it_came_whole_cut_short_denied_or_bare(
    store: SqlStore, tmp_path: Path
) -> None:
    with store.begin() as transaction:
        transaction.execute("DELETE FROM order_refetch")
    sales: list[Sale] = [one for one in map(sale, range(200)) if len(one.lines) > 1][:4]
    whole, cut, denied, bare = sales
    bodies = [
        graphql(whole).event(),
        graphql(cut).event(lines=1),
        graphql(denied).event() | {"data": None, "query_errors": [{"message": "denied"}]},
        {name: graphql(bare).event()[name] for name in ("topic", "action", "query_variables")},
    ]
    log, orders = await SqliteLog.open(tmp_path / "log.db"), rfm_orders()
    loop = asyncio.get_running_loop()

    def append(records: Sequence[Record]) -> None:
        asyncio.run_coroutine_threadsafe(log.append(records), loop).result(30)

    try:
        async with running(log) as receiver:
            for number, value in enumerate(bodies):
                body = json.dumps(value).encode()
                assert await receiver.post(body, **by_events(body, number)) == (200, "")
        await fold(log, store, orders)
        counted = {str(one.order_id): one.total for one in sales}
        assert totals(store) == {id_: counted[id_] for id_ in list(counted)[:2]}
        async with admin_of(books(*map(kept, sales))) as (admin, _):
            job = Refetching(Services(store, append), lambda _: client_of(admin), lambda: NOW_MS)
            assert (await asyncio.to_thread(job.run, Turn(SHOP, NOW_MS))).note == "3 fetched"
        await fold(log, store, orders)
        assert totals(store) == counted
        with store.snapshot() as snapshot:
            assert snapshot.query("SELECT gid FROM order_refetch") == []
    finally:
        await log.close()
