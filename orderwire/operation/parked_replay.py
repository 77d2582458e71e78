"""Replays parked records: each returns to its topic once it would be understood, else it stays and
is counted with its reason.

Pending records are read from the topic `parked`, where a replay leaves its note, not from the
store: a replay works while no processor runs, and a second one right after finds nothing to do.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import structs

from ingest.meta import webhooks as meta
from ingest.shopify import routing
from orderwire.operation.reading_topics import Progress, entries_of, silent
from processors.engine.parking import (
    PARKED,
    ParkedProcessor,
    ParkedRow,
    body_at,
    cells,
    fold,
    replayed,
)
from processors.engine.processor import Deltas, Processor
from processors.shopify.tolerance import Rejected
from stream.log.contract import Log
from stream.record import Entry, Record
from stream.store.contract import Key, Store

Processors = Mapping[str, Sequence[Processor[Any]]]
"""By topic: the processors that would read a record there."""
BODY_GONE = "body_gone"
"""The record's body was only on its own topic, whose retention has passed it."""
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
) -> Result:
    """Replay pending records that are understood now; with `discard` settle them without replaying.
    Raises Unavailable, StoreError."""
    result = Result()
    known = await last_states(log)
    wanted = {key for key, row in known.items() if not row.replayed and which.takes(row)}
    places = {(known[key].parked_partition, known[key].parked_offset) for key in wanted}
    starts = dict(
        sorted(places, reverse=True)
    )  # the lowest place of each partition comes last, and stays
    if places:
        async for entries in entries_of(log, "parked", starts, progress):
            records: list[Record] = []
            for entry in entries:
                if (entry.partition, entry.offset) not in places:
                    continue
                if discard:
                    records.append(replayed(entry)[1])
                    result.discarded += 1
                    continue
                outcome = await _again(log, entry, processors)
                if isinstance(outcome, str):
                    result.left[outcome] += 1
                else:
                    result.returned[outcome[0].topic] += 1
                    records += outcome
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


async def _again(log: Log, entry: Entry, processors: Processors) -> list[Record] | str:
    place = body_at(entry)
    if place is None:
        return again(entry, processors)
    topic, partition, offset = place
    found = await log.scan(topic, partition, offset, 1)
    if not found or found[0].offset != offset or found[0].record.id != entry.record.id:
        return BODY_GONE
    whole = structs.replace(entry.record, body=found[0].record.body)
    return again(structs.replace(entry, record=whole), processors)


async def last_states(log: Log) -> dict[Key, ParkedRow]:
    """The newest state on the topic `parked` of each record, as the parked processor would fold it.
    Raises Unavailable."""
    known: dict[Key, ParkedRow] = {}
    async for entries in entries_of(log, "parked"):
        for entry in entries:
            row = _parked.decode(entry)
            known[row.shop, row.id] = fold(known.get((row.shop, row.id)), row)
    return known


def again(entry: Entry, processors: Processors) -> list[Record] | str:
    """Records to append for a parked entry (the record, then the note), or the reason why it would
    be parked again."""
    record = entry.record
    if record.headers.get("parked_topic"):
        back, note = replayed(entry)
    else:
        placed = _placed(record)
        if isinstance(placed, str):
            return placed
        back, note = placed, replayed(entry)[1]
    reason = rejected_by_all(back, processors.get(back.topic, ()))
    return [back, note] if reason is None else reason


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


def rejected_by_all(record: Record, processors: Sequence[Processor[Any]]) -> str | None:
    """Why no processor accepts `record`; None if one does, or if no processor rejects it."""
    reason = None
    for processor in processors:
        try:
            if processor.decode(Entry(record, 0, 0)) is not None:
                return None
        except Rejected as rejected:
            reason = rejected.reason
        except Exception as error:
            reason = f"decode_failed_{type(error).__name__}"
    return reason


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
