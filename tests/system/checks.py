"""What must be true of a log, a store and the Graph stand-in's account after any scenario.
`assert_all` checks everything on a settled system (`System.settled`)."""

import asyncio
import re
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from orderwire.serve.feeds import running
from orderwire.serve.registry import PROCESSORS
from orderwire.settings.program import Settings
from processors.engine import parking
from simulator.proof.oracle import ExpectedOrder, expected_orders
from simulator.proof.sums import CELLS, ENTITIES, cells_differ, fold
from simulator.proof.verify import everything, meta_differs, oracle_differs
from simulator.shop.delivery import Delivery
from simulator.shop.mangle import PARKED as PARKED_KINDS
from stream.log.contract import Log
from stream.record import TOPICS, Entry
from stream.store.contract import Cells, Entities
from stream.store.sql.store import SqlStore
from tests.support.servers.migrated_store import write_migrated
from tests.support.shops import rfm_store as rfm
from tests.system.harness import ACCESS_TOKEN, API_TOKEN, PIXEL, SECRET, SHOP, System
from tests.system.traffic import Sent

PRIVATE = re.compile(rb'"(?:email|contact_email|phone|address1|last_name)" ?: ?"([^"]{6,})"')


async def assert_all(system: System, sent: Sent, *, now: datetime | None = None) -> None:
    """Every delivery that was answered 200 is in the log, byte for byte.
    2. The store is what fresh processors make of the whole log in an empty store: no crash, restart
       or rebalance left a trace.
    3. Aggregates are the sums of their entities' cells.
    4. Meta has each sale that it must have, none that it must not, under one event id with one
       payload.
    5. Customers, orders and revenue are those of the simulated shop's oracle, which shares no code
       with the processors.
    6. What cannot be understood is parked, nothing else is, and the output has neither secrets nor
       personal data.

    2, 4, 5 and half of 3 are the demo's own checks (`simulator.proof.verify`, `sums`). The rest
    needs what only a test has: every delivery that it sent, and the right to show rows that differ.
    """
    now = now or datetime.now(UTC)
    assert not sent.traffic.gave_up
    assert not sent.traffic.unexpected
    async with system.log() as log:
        entries = await whole(log)
    assert_in_log(entries, sent.acknowledged)
    orders = expected_orders(sent.deliveries)
    with system.store() as store:
        await asyncio.to_thread(
            assert_is_a_fold_of, store, entries, system.settings, system.folder / "refolded.db"
        )
        await asyncio.to_thread(assert_aggregates_are_sums, store)
        await asyncio.to_thread(assert_customers_are, store, orders.values())
        await asyncio.to_thread(assert_parked, store, entries, sent.deliveries)
    assert (
        meta_differs(system.graph.account.summary(events=True), orders.values(), PIXEL, now, now)
        == []
    )
    assert_shows_no_secrets(system.output(), sent.deliveries)


async def whole(log: Log) -> list[Entry]:
    """Every entry of every partition of every topic."""
    entries = await everything(log)
    ends = {(entry.record.topic, entry.partition): entry.offset + 1 for entry in entries}
    for topic in TOPICS:
        for partition, span in (await log.spans(topic)).items():
            end = ends.get((topic, partition), span.first)
            assert end == span.next or span.first == span.next, (
                f"{topic}/{partition} holds {span}, and the scan ended at {end}"
            )
    return entries


def assert_in_log(entries: Iterable[Entry], acknowledged: Iterable[Delivery]) -> None:
    """1. An answer of 200 says that the delivery is durable."""
    kept = {(entry.record.id, entry.record.body) for entry in entries}
    lost = [
        delivery.webhook_id
        for delivery in acknowledged
        if (delivery.webhook_id, delivery.body) not in kept
    ]
    assert not lost, (
        f"{len(lost)} acknowledged deliveries are not in the log, for example {lost[:3]}"
    )


def assert_is_a_fold_of(
    store: SqlStore, entries: Sequence[Entry], settings: Settings, path: Path
) -> None:
    """2. The store equals a fresh one, made at `path` by folding the log again.

    Of the outbox only the keys are compared: the rest is what Meta answered, and when. Both stores
    then see one tick at one time, since serve's next one may still be a second away.
    """
    path.unlink(missing_ok=True)
    fresh = SqlStore.open(write_migrated(path))
    try:
        now_ms = time.time_ns() // 1_000_000
        processors = [PROCESSORS[name](settings) for name in running(settings)]
        rejected = fold(entries, processors, fresh, now_ms)
        for processor in processors:
            with store.begin() as transaction:
                processor.tick(transaction, now_ms)
        for entities in ENTITIES:
            assert_same(entities.table, entity_rows(store, entities), entity_rows(fresh, entities))
        for cells in CELLS:
            assert_same(cells.table, cell_rows(store, cells), cell_rows(fresh, cells))
        assert_same("outbox", outbox_keys(store), outbox_keys(fresh))
        parked = {row.id for row in entity_rows(store, parking.PARKED)}
        assert rejected <= parked, f"rejected and not parked: {sorted(rejected - parked)[:3]}"
    finally:
        fresh.close()


def entity_rows(store: SqlStore, entities: Entities[Any]) -> set[Any]:
    """All rows of a table of entities."""
    with store.snapshot() as snapshot:
        return {
            entities.row(*row)
            for row in snapshot.query(
                f"SELECT {', '.join(entities.row._fields)} FROM {entities.table}"
            )
        }


def cell_rows(store: SqlStore, cells: Cells) -> set[tuple[Any, ...]]:
    """All cells that are not zero."""
    with store.snapshot() as snapshot:
        return {
            tuple(row) for row in snapshot.changes(cells, None).rows if any(row[len(cells.key) :])
        }


def outbox_keys(store: SqlStore) -> set[tuple[Any, ...]]:
    """Which events there are."""
    with store.snapshot() as snapshot:
        sql = "SELECT shop, destination, event_name, event_id, order_id FROM outbox"
        return {tuple(row) for row in snapshot.query(sql)}


def assert_same(table: str, found: set[Any], expected: set[Any]) -> None:
    """Two sets of rows are one; the message shows a few that differ."""
    if found != expected:
        more, less = sorted(map(repr, found - expected)), sorted(map(repr, expected - found))
        few = "\n".join([*(f"+ {row}" for row in more[:3]), *(f"- {row}" for row in less[:3])])
        raise AssertionError(
            f"{table}: {len(more)} rows that a fold of the log has not, {len(less)} that only it "
            f"has\n{few}"
        )


def assert_aggregates_are_sums(store: SqlStore) -> None:
    """3. aggregate == sum(cells(entity) for every entity)."""
    rfm.assert_cells_are_the_sum_of_customers_and_customers_of_orders(store)
    with store.snapshot() as snapshot:
        assert cells_differ(snapshot) == []


async def assert_api_agrees(system: System, orders: Iterable[ExpectedOrder]) -> None:
    """The API (role `query`) answers what the oracle counted, and how many events Meta has."""
    counted = [
        order for order in orders if order.counted and (order.customer_id or order.email_sha256)
    ]
    status, rfm_answer = await system.fresh("/v1/rfm")
    assert status == 200, rfm_answer
    assert rfm_answer["orders"] == len(counted)
    assert Decimal(rfm_answer["revenue"]["amount"]) * 100 == sum(order.net for order in counted)
    assert rfm_answer["customers"]["in_window"] == len(
        {order.customer_id or order.email_sha256 for order in counted}
    )
    status, sent = await system.api("/v1/capi")
    assert status == 200, sent
    assert sent["outcomes"]["sent"] == len(system.graph.account.kept_ids(PIXEL))
    status, result = await system.api("/v1/status")
    assert status == 200, result
    assert {role["role"] for role in result["roles"] if role["alive"]} == {
        "receive",
        "process",
        "query",
    }
    assert all(processor["lag_records"] == 0 for processor in result["processors"])


def assert_customers_are(store: SqlStore, orders: Iterable[ExpectedOrder]) -> None:
    """5. Days, orders and net money of every customer, and of the window."""
    with store.snapshot() as snapshot:
        assert oracle_differs(orders, snapshot, SHOP) == []


def assert_parked(
    store: SqlStore, entries: Iterable[Entry], deliveries: Iterable[Delivery]
) -> None:
    """What cannot be understood is kept whole on `parked`, has a row with its reason, and nothing
    genuine is there."""
    parked = {entry.record.id: entry for entry in entries if entry.record.topic == "parked"}
    kinds = {delivery.webhook_id: delivery.kind for delivery in deliveries}
    broken = {webhook_id for webhook_id, kind in kinds.items() if kind in PARKED_KINDS}
    assert broken <= parked.keys(), (
        f"broken and not parked: {[kinds[one] for one in broken - parked.keys()][:3]}"
    )
    assert not parked.keys() - broken, (
        "parked for no reason: "
        f"{[parked[one].record.headers for one in parked.keys() - broken][:3]}"
    )
    assert all(row.reason for row in entity_rows(store, parking.PARKED))


def assert_shows_no_secrets(output: str, deliveries: Iterable[Delivery]) -> None:
    """Neither secrets nor anybody's address, number or street shows in what serve wrote."""
    for secret in (SECRET, ACCESS_TOKEN, API_TOKEN):
        assert secret not in output
    private = {value for delivery in deliveries for value in PRIVATE.findall(delivery.body)}
    shown = [value for value in private if value.decode() in output]
    assert not shown, f"{len(shown)} values of customers show in the output"
