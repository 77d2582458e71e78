"""Replays parked records: each returns to its topic once the processor that parked it would take
it, else it stays and is counted with its reason.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec import structs

from ingest.meta import webhooks as meta
from ingest.shopify import routing
from orderwire.operation.moving.reading_topics import Progress, entries_of, silent
from orderwire.operation.replaying.trial import Processors, TrialRecord, trial
from processors.engine.parking import (
    PARKED,
    PARKED_BY,
    ParkedProcessor,
    ParkedRow,
    body_at,
    cells,
    fold,
    replayed,
)
from processors.engine.processor import Deltas
from stream.log.contract import Log
from stream.record import Entry, Record
from stream.store.contract import Key, Store

BODY_GONE = "body_gone"
"""The record's body was only on its own topic, whose retention has passed it."""
Place = tuple[int, int]
"""Partition and offset on the topic `parked`."""
_parked = ParkedProcessor()


@dataclass(frozen=True, slots=True)
class Filter:
    """Selects parked records: all, or those of a reason, a topic (ours or the sender's), a shop."""

    reason: str | None = None
    topic: str | None = None
    shop: str | None = None

    def takes(self, row: ParkedRow) -> bool:
        return (
            self.reason in (None, row.reason)
            and self.topic in (None, row.topic, row.source_topic)
            and self.shop in (None, row.shop)
        )


@dataclass(slots=True)
class Result:
    """How many records were replayed or stayed parked."""

    returned: Counter[str] = field(default_factory=Counter)
    """By the topic that they went to."""
    left: Counter[str] = field(default_factory=Counter)
    """By the reason why they would be parked again."""
    discarded: int = 0
    gone: int = 0
    """Parked according to the store, but past the log's retention: nothing can bring them back."""


async def replay(
    log: Log,
    store: Store,
    processors: Processors,
    which: Filter,
    *,
    discard: bool = False,
    dry_run: bool = False,
    progress: Progress = silent,
    clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
) -> Result:
    """Replay pending records that would be folded now; with `discard` settle them without
    replaying. Raises Unavailable, StoreError."""
    result = Result()
    # From the topic, where a replay leaves its notes, and not from the store: so it works while no
    # processor runs, and a second one right after finds nothing to do.
    known = await _standing(log)
    wanted = {
        key: standing
        for key, standing in known.items()
        if not standing.row.replayed and which.takes(standing.row)
    }
    places = {
        (standing.row.parked_partition, standing.row.parked_offset): standing.by
        for standing in wanted.values()
    }
    starts = dict(
        sorted(places, reverse=True)
    )  # the lowest place of each partition comes last, and stays
    if places:
        async for entries in entries_of(log, "parked", starts, progress):
            here = [each for each in entries if (each.partition, each.offset) in places]
            if discard:
                records = [replayed(entry)[1] for entry in here]
                result.discarded += len(here)
            else:
                records = await _returning(log, store, processors, here, places, result, clock_ms())
            if records and not dry_run:
                # A record and its note in one append: were the note later, a record parked again
                # meanwhile would lie before it.
                await log.append(records)
    gone = [
        (row.shop, row.id)
        for row in _pending_rows(store)
        if which.takes(row) and (row.shop, row.id) not in known
    ]
    result.gone = len(gone)
    if discard and gone and not dry_run:
        _settle(store, gone)
    return result


async def _returning(
    log: Log,
    store: Store,
    processors: Processors,
    entries: Sequence[Entry],
    parked_by: Mapping[Place, frozenset[str]],
    result: Result,
    now_ms: int,
) -> list[Record]:
    """The records to append for those of `entries` that would be folded now, and their notes.

    They are tried, decode and fold: one that would be parked again is not sent round in circles.
    """
    asked: list[TrialRecord] = []
    notes: list[Record] = []
    for entry in entries:
        found = await _back(log, entry)
        if isinstance(found, str):
            result.left[found] += 1
            continue
        asked.append(TrialRecord(found.record, parked_by[entry.partition, entry.offset]))
        notes.append(found.note)
    reasons = await asyncio.to_thread(trial, store, processors, asked, now_ms)
    records: list[Record] = []
    for each, note, reason in zip(asked, notes, reasons, strict=True):
        if reason is None:
            result.returned[each.record.topic] += 1
            records += [each.record, note]
        else:
            result.left[reason] += 1
    return records


async def _back(log: Log, entry: Entry) -> "Back | str":
    """What a replay appends for a parked entry, with its body; or why that cannot be."""
    place = body_at(entry)
    if place is None:
        return back(entry)
    topic, partition, offset = place
    found = await log.scan(topic, partition, offset, 1)
    if not found or found[0].offset != offset or found[0].record.id != entry.record.id:
        return BODY_GONE
    whole = structs.replace(entry.record, body=found[0].record.body)
    return back(structs.replace(entry, record=whole))


class _Standing(NamedTuple):
    """A record on the topic `parked`."""

    row: ParkedRow
    """As the parked processor would fold it."""
    by: frozenset[str]
    """The processors that parked it in its newest turn; empty where that is not known."""


async def _standing(log: Log) -> dict[Key, _Standing]:
    known: dict[Key, _Standing] = {}
    async for entries in entries_of(log, "parked"):
        for entry in entries:
            row = _parked.decode(entry)
            by = frozenset(filter(None, [entry.record.headers.get(PARKED_BY)]))
            before = known.get((row.shop, row.id))
            if before is not None:
                if before.row.turn == row.turn:
                    by = by | before.by if by and before.by else frozenset()
                elif before.row.turn > row.turn:
                    by = before.by
                row = fold(before.row, row)
            known[row.shop, row.id] = _Standing(row, by)
    return known


async def last_states(log: Log) -> dict[Key, ParkedRow]:
    """The newest state on the topic `parked` of each record, as the parked processor would fold it.
    Raises Unavailable."""
    return {key: standing.row for key, standing in (await _standing(log)).items()}


class Back(NamedTuple):
    """What a replay appends: the record on its topic, and the note that it was replayed."""

    record: Record
    note: Record


def back(entry: Entry) -> Back | str:
    """For a parked entry; the reason where the present rules cannot place it."""
    record = entry.record
    again, note = replayed(entry)
    if record.headers.get("parked_topic"):
        return Back(again, note)
    placed = _placed(record)
    return placed if isinstance(placed, str) else Back(placed, note)


def _placed(record: Record) -> Record | str:
    """A record that the receiver parked, routed by the present rules; or the reason if they cannot
    route it either.

    It loses the id that it was parked under: its new key may belong to another partition of
    `parked`, where later records need not have the higher offset. If a processor rejects it, it is
    parked as a new record.
    """
    headers = {
        name: value for name, value in record.headers.items() if not name.startswith("parked_")
    }
    shop, topic = headers.get("shop", ""), headers.get("topic", "")
    if headers.get("source") == "meta":
        found = meta.identify(shop, record.body, record.time_ms).record
        place, key, reason = found.topic, found.key, found.headers.get("parked_reason", "")
        headers |= {"topic": found.headers["topic"]}
    else:
        routed = routing.route(shop, topic, record.body)
        place, key, reason = routed.topic, routed.key, routed.reason
        headers |= {"topic": routed.event_topic or topic}
    return reason or Record(place, key, record.id, record.time_ms, headers, record.body)


def _pending_rows(store: Store) -> list[ParkedRow]:
    with store.snapshot() as snapshot:
        return [
            ParkedRow(*row)
            for row in snapshot.query(
                f"SELECT {', '.join(ParkedRow._fields)} FROM parked WHERE replayed = 0"
            )
        ]


def _settle(store: Store, keys: Sequence[Key]) -> None:
    """Rows whose record is gone from the log no longer count."""
    with store.begin() as transaction:
        rows = transaction.load(PARKED, keys)
        deltas = Deltas()
        settled = [row._replace(replayed=1) for row in rows.values()]
        for row in settled:
            deltas.move(cells(rows[row.shop, row.id]), cells(row))
        transaction.save(PARKED, settled)
        deltas.save(transaction)
