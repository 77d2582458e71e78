"""A parked record's row goes once no log holds the record any more, replayed or not."""

import pytest

from processors.engine.parking import (
    CHUNK,
    HOUR_MS,
    KEPT_MS,
    PARKED,
    PARKED_CELLS,
    ParkedProcessor,
    ParkedRow,
)
from stream.store.contract import Store
from stream.store.sql.store import SqlStore
from tests.support.shopify.orders import SHOP

NOW_MS = 1_700_000_000_000
OLD_MS = NOW_MS - KEPT_MS - 1
UNKNOWN = "unknown_topic"


def row(number: int, time_ms: int, *, replayed: int = 0, shop: str = SHOP) -> ParkedRow:
    return ParkedRow(
        shop=shop,
        id=f"orders/0/{number:06}",
        topic="orders",
        source_topic="bulk_operations/finish",
        reason=UNKNOWN,
        turn=1 + replayed,
        parked_partition=0,
        parked_offset=number,
        time_ms=time_ms,
        replayed=replayed,
    )


def apply(store: Store, *rows: ParkedRow) -> None:
    with store.begin() as transaction:
        ParkedProcessor().apply(transaction, rows, NOW_MS)


def tick(store: Store, processor: ParkedProcessor, now_ms: int, shop: str | None = None) -> None:
    with store.begin() as transaction:
        processor.tick(transaction, now_ms, shop)


def kept(store: Store) -> list[str]:
    with store.snapshot() as snapshot:
        return [each.id for each in snapshot.query(f"SELECT id FROM {PARKED.table} ORDER BY id")]


def waiting(store: Store) -> int:
    """What `/v1/status` shows as parked."""
    with store.snapshot() as snapshot:
        rows = snapshot.query(f"SELECT records FROM {PARKED_CELLS.table}")
    return sum(each.records for each in rows)


@pytest.mark.parametrize("replayed", [0, 1])
def test_a_row_lives_as_long_as_a_log_may_hold_its_record(store: SqlStore, replayed: int) -> None:
    apply(store, row(1, OLD_MS + 1, replayed=replayed))
    processor = ParkedProcessor()
    tick(store, processor, NOW_MS)
    assert kept(store) == ["orders/0/000001"]
    tick(store, processor, NOW_MS + HOUR_MS)
    assert (kept(store), waiting(store)) == ([], 0)


def test_what_no_log_holds_waits_for_no_replay(store: SqlStore) -> None:
    apply(store, row(1, OLD_MS), row(2, OLD_MS, replayed=1), row(3, NOW_MS))
    assert waiting(store) == 2
    tick(store, ParkedProcessor(), NOW_MS)
    assert (kept(store), waiting(store)) == (["orders/0/000003"], 1)


def test_a_flood_of_bad_bodies_goes_a_page_at_a_time_and_whole(store: SqlStore) -> None:
    flood = (row(number, OLD_MS)._replace(reason="bad_body") for number in range(2 * CHUNK + 1))
    apply(store, *flood)
    processor = ParkedProcessor()
    for left in (CHUNK + 1, 1, 0):
        tick(store, processor, NOW_MS)
        assert (len(kept(store)), waiting(store)) == (left, left)


def test_a_tick_of_one_shop_touches_no_other(store: SqlStore) -> None:
    apply(store, row(1, OLD_MS), row(2, OLD_MS, shop="other.myshopify.com"))
    tick(store, ParkedProcessor(), NOW_MS, SHOP)
    assert kept(store) == ["orders/0/000002"]
