"""Deliveries are counted by shop and topic without a write for each."""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from ingest.receiver.tally import Tally
from orderwire.serve.reporting.delivery_counts import write, written_down
from query.status.deliveries import read_deliveries
from query.status.schema import DeliveryStatus
from stream.metrics import ReceiverMetrics
from stream.store.sql.plain import PlainStore
from stream.store.sql.store import SqlStore
from stream.times import day_of

A, B = "a.myshopify.com", "b.myshopify.com"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
PARIS = {A: ZoneInfo("Europe/Paris")}


def ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


@pytest.fixture
def plain(store: SqlStore, store_url: str) -> Iterator[PlainStore]:
    with store.begin() as transaction:
        transaction.execute("DELETE FROM delivery_count")
    with closing(PlainStore(store_url)) as opened:
        yield opened


def answer(store: SqlStore, now: datetime, shops: set[str] | None = None) -> list[DeliveryStatus]:
    with store.snapshot() as snapshot:
        return read_deliveries(snapshot, shops, dict(PARIS), ms(now))


def test_counts_add_up_over_receivers_and_the_newest_is_the_last(
    store: SqlStore, plain: PlainStore
) -> None:
    one, other = Tally(), Tally()
    for minute in range(3):
        one.add(A, "orders/create", ms(NOON + timedelta(minutes=minute)))
    other.add(A, "orders/create", ms(NOON + timedelta(minutes=1)))
    other.add(B, "carts/update", ms(NOON))
    for tally in (one, other):
        write(plain, tally, PARIS)
        write(plain, tally, PARIS)
    assert answer(store, NOON) == [
        DeliveryStatus(shop=A, topic="orders/create", last="2026-11-22T12:02:00.000Z", today=4),
        DeliveryStatus(shop=B, topic="carts/update", last="2026-11-22T12:00:00.000Z", today=1),
    ]
    assert [each.shop for each in answer(store, NOON, {B})] == [B]


def test_a_day_is_the_shop_s_and_begins_at_nothing(store: SqlStore, plain: PlainStore) -> None:
    tally = Tally()
    late = datetime(2026, 11, 22, 23, 30, tzinfo=UTC)  # the 23rd in Paris
    for shop in (A, B):
        tally.add(shop, "orders/paid", ms(NOON))
        write(plain, tally, PARIS)
        tally.add(shop, "orders/paid", ms(late))
        write(plain, tally, PARIS)
    assert {each.shop: each.today for each in answer(store, late)} == {A: 1, B: 2}
    assert {each.today for each in answer(store, late + timedelta(days=2))} == {0}


def test_a_late_count_of_yesterday_takes_nothing_from_today(
    store: SqlStore, plain: PlainStore
) -> None:
    tally = Tally()
    for at in (NOON, NOON - timedelta(days=1)):
        tally.add(B, "orders/paid", ms(at))
        write(plain, tally, {})
    (only,) = answer(store, NOON)
    assert (only.today, only.last) == (1, "2026-11-22T12:00:00.000Z")


def test_a_store_that_is_away_keeps_the_counts_waiting(
    store: SqlStore, plain: PlainStore, tmp_path: Path
) -> None:
    tally = Tally()
    with closing(PlainStore(f"sqlite:///{tmp_path}/nowhere.db")) as nowhere:
        tally.add(A, "orders/create", ms(NOON))
        write(nowhere, tally, PARIS)
        tally.add(A, "orders/create", ms(NOON))
        write(nowhere, tally, PARIS)
    write(plain, tally, PARIS)
    assert [each.today for each in answer(store, NOON)] == [2]


async def test_what_came_last_is_written_at_the_end(store: SqlStore, plain: PlainStore) -> None:
    tally = Tally()
    async with written_down(plain, tally, PARIS, every_s=0.01):
        tally.add(A, "orders/create", ms(NOON))
        async with asyncio.timeout(10):
            while not await asyncio.to_thread(answer, store, NOON):  # noqa: ASYNC110 - of a thread
                await asyncio.sleep(0.01)
        tally.add(A, "orders/create", ms(NOON))
    assert [each.today for each in answer(store, NOON)] == [2]


def test_the_last_delivery_is_a_metric_by_shop_and_topic() -> None:
    tally, registry = Tally(), CollectorRegistry()
    ReceiverMetrics(registry).watch_last_deliveries(lambda: tally.last_ms)
    tally.add(A, "orders/create", 1_795_000_000_000)
    assert (
        'orderwire_last_delivery_timestamp_seconds{shop="a.myshopify.com",topic="orders/create"}'
        " 1.795e+09" in generate_latest(registry).decode()
    )


def test_days_are_counted_from_1970() -> None:
    assert day_of(0, None) == 0
    assert day_of(ms(NOON), None) == 20_779
