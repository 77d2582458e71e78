"""What cannot be understood is parked, once, and a replay tries it again."""

import asyncio
import itertools
import random
import string
from collections.abc import Sequence
from typing import Any

from prometheus_client import CollectorRegistry

from processors.engine.parking import (
    MOST_UNKNOWN,
    UNKNOWN_TOPIC,
    ParkedProcessor,
    body_at,
    fold,
    replayed,
)
from processors.engine.parking import parked as parked_record
from processors.engine.runner import Runner
from processors.shopify.tolerance import Rejected
from stream.log.contract import RecordsRefused
from stream.log.sqlite.log import SqliteLog
from stream.metrics import ProcessorMetrics
from stream.record import Entry, Record
from stream.store.sql.store import SqlStore
from tests.processors.engine.counting import (
    SINCE_MS,
    Counting,
    counted,
    parked,
    parked_records,
    records,
    run_to_end,
    stopped,
    until,
)


async def test_what_cannot_be_understood_is_parked_with_its_reason_and_the_rest_goes_on(
    log: SqliteLog, store: SqlStore
) -> None:
    await log.append(records("1", "bad", "2", "broken", "poison", "3"))
    await run_to_end(Counting(), log, store)
    await run_to_end(ParkedProcessor(), log, store)  # type: ignore[arg-type]
    assert counted(store) == {1: 1, 2: 1, 3: 1}
    assert parked(store) == {
        "bad_body": 1,
        "decode_failed_KeyError": 1,
        "fold_failed_ZeroDivisionError": 1,
    }
    kept = await log.scan("parked", 0, 0, 10)
    assert {entry.record.body for entry in kept} == {b"bad", b"broken", b"poison"}


async def test_parking_one_record_twice_counts_once(log: SqliteLog, store: SqlStore) -> None:
    """A crash between parking and saving the position meets the record again."""
    await log.append(records("bad"))
    await run_to_end(Counting(), log, store)
    with store.begin() as transaction:
        transaction.execute("DELETE FROM positions")
    await run_to_end(Counting(), log, store)
    assert (await log.spans("parked"))[0].next == 2
    await run_to_end(ParkedProcessor(), log, store)  # type: ignore[arg-type]
    assert parked(store) == {"bad_body": 1}


async def test_a_replayed_parked_record_is_parked_again_only_if_it_is_still_bad(
    log: SqliteLog, store: SqlStore
) -> None:
    await log.append(records("bad"))
    await run_to_end(Counting(), log, store)
    await run_to_end(ParkedProcessor(), log, store)  # type: ignore[arg-type]
    (entry,) = await log.scan("parked", 0, 0, 10)

    class Mended(Counting):
        def decode(self, entry: Entry) -> str | None:
            return "7"

    await log.append(replayed(entry))
    await run_to_end(ParkedProcessor(), log, store)  # type: ignore[arg-type]
    assert parked(store) == {}
    again = (await log.scan("orders", 0, 1, 10))[0].record
    assert (again.body, again.headers["topic"]) == (b"bad", "orders/create")
    await run_to_end(Counting(), log, store)
    await run_to_end(ParkedProcessor(), log, store)  # type: ignore[arg-type]
    assert parked(store) == {"bad_body": 1}
    with store.snapshot() as snapshot:
        assert snapshot.query("SELECT count(*) FROM parked")[0][0] == 1
    with store.begin() as transaction:
        transaction.execute("DELETE FROM positions WHERE processor = 'counting'")
    await run_to_end(Mended(), log, store)
    assert counted(store) == {7: 1}


def test_a_replay_is_newer_than_what_it_replays_on_whatever_partition_it_lands() -> None:
    """Partitions may be added to the topic `parked`: the note of a replay may then stand at a lower
    place than the record."""
    (record,) = records("bad")
    first = Entry(parked_record(Entry(record, 0, 5), Rejected("bad_body")), 3, 900)
    again, note = replayed(first)
    second = Entry(parked_record(Entry(again, 1, 7), Rejected("bad_body")), 0, 2)
    rows = [ParkedProcessor().decode(entry) for entry in (first, Entry(note, 1, 10), second)]
    assert len({row.id for row in rows}) == 1
    for order in itertools.permutations(rows):
        state = None
        for row in order:
            state = fold(state, row)
        assert state == rows[2]
    assert [row.replayed for row in rows] == [0, 1, 0]


async def test_a_record_with_an_id_longer_than_an_index_takes_is_parked_like_any_other(
    log: SqliteLog, store: SqlStore
) -> None:
    name = "".join(random.Random(1).choices(string.ascii_letters, k=9_000))
    await log.append(
        [
            Record(
                "parked",
                "k",
                name,
                SINCE_MS,
                {"shop": "s", "topic": name[:4_000], "parked_reason": "unknown_topic"},
                b"{}",
            )
        ]
    )
    stop = asyncio.Event()
    runner = Runner(
        ParkedProcessor(),
        log,
        store,
        metrics=ProcessorMetrics(CollectorRegistry(), "parked"),
        committed=lambda _: stop.set(),
    )
    await asyncio.wait_for(runner.run(stop), 20)
    assert parked(store) == {"unknown_topic": 1}


class Narrow:
    """A log whose topic `parked` refuses records: larger ones, or all."""

    def __init__(self, log: SqliteLog, largest: int) -> None:
        self._log, self.largest = log, largest

    async def append(self, records: Sequence[Record]) -> None:
        refused = [each for each in records if len(each.body) > self.largest]
        await self._log.append([each for each in records if each not in refused])
        if refused:
            raise RecordsRefused("too_large", "more than parked takes", refused)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)


async def test_a_record_too_large_for_the_topic_parked_is_parked_without_its_body(
    log: SqliteLog, store: SqlStore
) -> None:
    await log.append(records("1", "bad", "2"))
    await run_to_end(Counting(), Narrow(log, 2), store)  # type: ignore[arg-type]
    assert counted(store) == {1: 1, 2: 1}
    (entry,) = await parked_records(log)
    assert (entry.record.body, body_at(entry)) == (b"", ("orders", 0, 1))


async def test_a_shop_whose_records_can_in_no_way_be_parked_waits_and_the_others_go_on(
    log: SqliteLog, store: SqlStore
) -> None:
    await log.append([*records("1", shop="b"), *records("bad", shop="a"), *records("2", shop="b")])
    await run_to_end(Counting(), Narrow(log, -1), store)  # type: ignore[arg-type]
    assert counted(store) == {1: 1, 2: 1}
    (row,) = stopped(store)
    assert (row.shop, row.next, row.stopped) == ("a", 1, 1)
    assert "cannot be parked" in row.reason
    await until(lambda: not stopped(store), Counting(), log, store)
    assert len(await parked_records(log)) == 1


async def test_of_unknown_topics_only_the_newest_thousand_of_a_shop_are_kept(
    log: SqliteLog, store: SqlStore
) -> None:
    def record(shop: str, number: int) -> Record:
        headers = {"shop": shop, "topic": "products/update", "parked_reason": UNKNOWN_TOPIC}
        return Record("parked", shop, f"{shop}{number}", number, headers, b"")

    processor, known = ParkedProcessor(), Rejected("bad_body")
    sent = [record("a", number) for number in range(2_500)]
    sent += [record("b", number) for number in range(MOST_UNKNOWN)]
    sent += [parked_record(Entry(record("a", number), 0, number), known) for number in range(50)]
    events = [processor.decode(Entry(each, 0, number)) for number, each in enumerate(sent)]
    with store.begin() as transaction:
        processor.apply(transaction, events, 3_000)
    for _ in range(3):
        with store.begin() as transaction:
            processor.tick(transaction, 3_000)
    with store.snapshot() as snapshot:
        found = snapshot.query("SELECT shop, reason, records FROM parked_cell ORDER BY 1, 2")
        assert [tuple(row) for row in found] == [
            ("a", "bad_body", 50),
            ("a", UNKNOWN_TOPIC, MOST_UNKNOWN),
            ("b", UNKNOWN_TOPIC, MOST_UNKNOWN),
        ]
        (oldest,) = snapshot.query(
            "SELECT min(time_ms) FROM parked WHERE shop = 'a' AND reason = :reason",
            reason=UNKNOWN_TOPIC,
        )
        assert oldest[0] == 2_500 - MOST_UNKNOWN
    with store.begin() as transaction:  # The same records again change nothing in the end.
        processor.apply(transaction, events, 3_000)
    for _ in range(3):
        with store.begin() as transaction:
            processor.tick(transaction, 3_000)
    with store.snapshot() as snapshot:
        again = snapshot.query("SELECT shop, reason, records FROM parked_cell ORDER BY 1, 2")
    assert [tuple(row) for row in again] == [tuple(row) for row in found]
