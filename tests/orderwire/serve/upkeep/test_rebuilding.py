"""The loop that rebuilds beside a process role's folds: it finds its work in the store."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from orderwire.serve.upkeep import rebuilding
from processors.engine.projection import Change, Projection, Scope, live_key
from processors.engine.rebuild import Pending, pending
from processors.orders.currency import CURRENCY
from processors.orders.processor import OrdersProcessor
from processors.shopify.orders import Order
from stream.store.contract import StoreUnavailable, Transaction
from stream.store.sql.store import SqlStore
from tests.processors.engine.counting import met
from tests.processors.engine.test_rebuild import NOW_MS, fold, numbers, program, rfm
from tests.support.shopify.orders import SHOP, order

OTHER = "other.myshopify.com"
pytestmark = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(rebuilding, "PAUSE_S", 0.05)


@asynccontextmanager
async def running(store: SqlStore, projection: Projection) -> AsyncIterator[set[str]]:
    """The loop; yields the shops that it shows as not counted."""
    made = {CURRENCY.name: CURRENCY, projection.name: projection}
    uncounted = set[str]()

    def show(found: frozenset[Pending]) -> None:
        uncounted.clear()
        uncounted.update(each.shop for each in found)

    task = asyncio.create_task(rebuilding.rebuild(store, made, lambda: NOW_MS, show))
    try:
        yield uncounted
        assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def rebuilt(store: SqlStore, projection: Projection, shop: str = SHOP) -> bool:
    """Whether a shop is counted by this version, and nothing of another generation is left."""
    with store.snapshot() as snapshot:
        versions = snapshot.query(
            "SELECT version FROM projection WHERE name = :name AND shop = :shop",
            name=projection.name,
            shop=shop,
        )
        left = {each.shop for each in pending(snapshot, [projection])}
    return [row.version for row in versions] == [projection.version] and shop not in left


async def test_after_an_upgrade_the_loop_mends_what_a_wrong_formula_stored_while_orders_arrive(
    store: SqlStore,
) -> None:
    answer = [order(f"{n}", customer=f"{n % 5}", total=100 + n) for n in range(40)]
    wrong, mended = program(rfm(version=1, factor=2)), rfm(version=2)
    fold(store, wrong, answer[:30])
    processor = program(mended)
    async with running(store, mended):
        for each in answer[30:]:
            await arrived(store, processor, each)
        await met(lambda: rebuilt(store, mended))
    with store.snapshot() as snapshot:
        counted = snapshot.query(
            "SELECT customer, revenue_ever FROM rfm_customer WHERE shop = :shop",
            shop=live_key(snapshot, SHOP, mended.name),
        )
    assert dict(counted) == {
        f"{customer}": sum(100 + n for n in range(40) if n % 5 == customer) for customer in range(5)
    }


async def arrived(store: SqlStore, processor: OrdersProcessor, event: Order) -> None:
    """Fold an order as the runner does: again while a step of the rebuild has the lock."""
    for _ in range(100):
        with suppress(StoreUnavailable):
            await asyncio.to_thread(fold, store, processor, [event])
            return
    raise AssertionError("the store never took the order")


async def test_an_aggregate_that_is_new_is_filled_by_the_loop(store: SqlStore) -> None:
    past = [order(f"{n}", customer=f"{n % 3}") for n in range(7)]
    fold(store, OrdersProcessor({}, (CURRENCY,)), past)
    with capture_logs() as logs:
        async with running(store, rfm()):
            await met(lambda: [line["event"] for line in logs][-1:] == ["rebuild complete"])
    assert rebuilt(store, rfm())
    assert [(line["event"], line["projection"]) for line in logs] == [
        ("rebuild begun", "rfm"),
        ("rebuild complete", "rfm"),
    ]
    assert len(numbers(store)["rfm_customer"]) == 3


async def test_a_failing_shop_pauses_for_itself_only_and_goes_on_once_its_cause_is_gone(
    store: SqlStore,
) -> None:
    fold(store, program(rfm()), [order("1"), order("2", shop=OTHER), order("3")])
    broken = {SHOP}
    upgraded = failing_for(broken, rfm(version=2))
    async with running(store, upgraded) as uncounted:
        await met(lambda: stopped(store)[SHOP] == "ZeroDivisionError")
        await met(lambda: uncounted == {SHOP})
        await met(lambda: rebuilt(store, upgraded, OTHER))
        assert not rebuilt(store, upgraded)
        broken.clear()
        await met(lambda: rebuilt(store, upgraded))
        await met(lambda: not uncounted)
    assert stopped(store) == {SHOP: "", OTHER: ""}


def failing_for(shops: set[str], made: Projection) -> Projection:
    """The projection, raising for these shops."""
    (source,) = made.sources

    def apply(
        transaction: Transaction, work: Mapping[Scope, Sequence[Change[Any]]], now_ms: int
    ) -> None:
        if any(scope.shop in shops for scope in work):
            raise ZeroDivisionError
        source.apply(transaction, work, now_ms)

    return replace(made, sources=(replace(source, apply=apply),))


def stopped(store: SqlStore) -> dict[str, str]:
    """By shop: why RFM does not get on."""
    with store.snapshot() as snapshot:
        return dict(snapshot.query("SELECT shop, stopped FROM projection WHERE name = 'rfm'"))
