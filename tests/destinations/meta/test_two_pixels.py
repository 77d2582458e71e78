"""Two pixels of one shop: each has every sale once, under its own token, and neither waits for the
other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from destinations.delivery.account import Account
from destinations.delivery.outbox import OutboxProcessor
from destinations.delivery.protocol import Context
from destinations.delivery.sending.sender import OutboxSender
from destinations.delivery.sending.tuning import Tuning
from destinations.delivery.transport import aiohttp_call, client_session
from destinations.meta.destination import MetaDestination
from destinations.meta.event.events import MetaEvents
from simulator.meta.graph import GraphStandIn
from stream.store.sql.store import SqlStore
from tests.contracts.destination import Clock
from tests.contracts.destination_kit import assert_cells_are_the_sum_over_rows, rows
from tests.support.delivery.capi_orders import NOW_MS, PIXEL, SHOP, TOKEN, seen, settings

pytest_plugins = ["tests.support.delivery.sender_fixtures"]
OTHER_PIXEL, OTHER_TOKEN = "987654321", "EAAsecondtokenofthesameshop"
ORDERS = [1001, 1002, 1003]
ONCE = {str(order_id): 1 for order_id in ORDERS}


@asynccontextmanager
async def two_pixels(
    store: SqlStore, clock: Clock
) -> AsyncIterator[tuple[GraphStandIn, OutboxSender]]:
    """A Graph that knows both tokens, each for one pixel, and a sender with sales for both."""
    known = {TOKEN: [PIXEL], OTHER_TOKEN: [OTHER_PIXEL]}
    graph = GraphStandIn(tokens=known, clock=lambda: clock() / 1000)
    async with graph, client_session() as session:
        accounts = [
            Account(
                SHOP,
                name,
                "meta",
                settings(pixel_id=pixel, access_token=token, graph_url=graph.url),
            )
            for name, pixel, token in (("meta", PIXEL, TOKEN), ("second", OTHER_PIXEL, OTHER_TOKEN))
        ]
        processor = OutboxProcessor("capi", {SHOP}, MetaEvents(accounts, Context()), {})
        with store.begin() as transaction:
            processor.apply(transaction, [seen(order_id=order_id) for order_id in ORDERS], NOW_MS)
        yield (
            graph,
            OutboxSender(
                store,
                [MetaDestination(account) for account in accounts],
                aiohttp_call(session),
                tuning=Tuning(spacing_ms=0),
                clock_ms=clock,
                steady_ms=clock,
                sleep=clock.sleep,
                chance=lambda: 0.5,
            ),
        )


def outcomes(store: SqlStore, destination: str) -> dict[str, str]:
    return {row.order_id: row.outcome for row in rows(store) if row.destination == destination}


async def test_each_pixel_has_every_sale_once(quick_store: SqlStore) -> None:
    async with two_pixels(quick_store, Clock(NOW_MS)) as (graph, sender):
        await sender.drain()
        await sender.drain()
        assert graph.account.kept_ids(PIXEL) == ONCE
        assert graph.account.kept_ids(OTHER_PIXEL) == ONCE
        assert graph.conflicts() == []
    assert_cells_are_the_sum_over_rows(quick_store)


async def test_a_pixel_whose_token_has_expired_pauses_and_the_other_goes_on(
    quick_store: SqlStore,
) -> None:
    clock = Clock(NOW_MS)
    async with two_pixels(quick_store, clock) as (graph, sender):
        graph.tokens = {TOKEN: [PIXEL]}
        await sender.drain()
        assert graph.account.kept_ids(PIXEL) == ONCE
        assert graph.account.kept_ids(OTHER_PIXEL) == {}
        assert outcomes(quick_store, "second") == dict.fromkeys(ONCE, "pending")
        with quick_store.snapshot() as snapshot:
            paused = snapshot.query(
                "SELECT destination, paused_since_ms IS NOT NULL AS paused FROM destination_account"
            )
            assert {row.destination: bool(row.paused) for row in paused} == {
                "meta": False,
                "second": True,
            }
        graph.tokens = {TOKEN: [PIXEL], OTHER_TOKEN: [OTHER_PIXEL]}
        clock.ms += 60_000
        await sender.drain()
        assert graph.account.kept_ids(PIXEL) == graph.account.kept_ids(OTHER_PIXEL) == ONCE
