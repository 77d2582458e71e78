"""Moves to another log (the embedded one to Kafka, say) without losing a delivery or counting one
twice."""

from collections import Counter
from collections.abc import Collection, Mapping

from orderwire.operation.moving.reading_topics import Progress, entries_of, silent
from orderwire.operation.refused import Refused
from orderwire.operation.replaying.parked_replay import last_states
from processors.engine.feed import Feed, feed_of
from processors.engine.parking import ParkedProcessor
from processors.engine.stops import first_needed
from stream.log.contract import Log, Span
from stream.record import TOPICS, Entry, Record
from stream.store.contract import Position, Store

OLD = "old:"
"""Before the id of a record parked in the log before this one."""
_parked = ParkedProcessor()


def unread_from(
    spans: Mapping[int, Span],
    readers: Collection[str],
    topic: str,
    positions: Collection[Position],
    needed: Mapping[tuple[str, str, int], int],
) -> dict[int, int]:
    """The offset by partition from which to copy: the lowest that any processor of the topic needs.

    That is the first record if a processor has no position, and before its position if a shop is
    behind. Raises Refused if a position is not in this log.
    """
    known = {(p.processor, p.partition): p.next for p in positions if p.topic == topic}
    strange = {partition for _, partition in known} - spans.keys()
    starts = {}
    for partition, span in spans.items():
        reached = [known.get((reader, partition), span.first) for reader in readers]
        if strange or any(not span.first <= at <= span.next for at in reached):
            raise Refused(
                f"the store's positions on {topic} are not of this log: is --from-log the one that "
                "it was filled from?"
            )
        unread = [needed.get((reader, topic, partition), span.first) for reader in readers]
        starts[partition] = max(span.first, min(unread, default=span.first))
    return starts


async def copy_unread(
    source: Log, target: Log, store: Store, feeds: Collection[Feed], progress: Progress = silent
) -> Counter[str]:
    """Append to `target` the records of `source` that must not be lost; returns how many, by topic.
    Raises Refused, Unavailable, StoreError.

    - Of a topic with processors: everything from the position of the one furthest behind.
    - Of `parked`: what its processor has not counted yet, and what waits to be replayed.
    - Of a topic that no processor reads: everything.

    A record keeps its key, so its entity's order stays. A second run copies again, which readers of
    the log tolerate. A parked record gets an id that no place of the new log has.
    """
    with store.snapshot() as snapshot:
        positions, needed = snapshot.positions(), first_needed(snapshot)
    copied: Counter[str] = Counter()
    for topic in TOPICS:
        before = await source.spans(topic)
        readers = [feed.processor for feed in feeds if feed.topic == topic]
        starts = unread_from(before, readers, topic, positions, needed)
        waiting = await _waiting(source) if topic == "parked" else set()
        async for entries in entries_of(source, topic, None if waiting else starts, progress):
            records = [
                _renamed(entry) if topic == "parked" else entry.record
                for entry in entries
                if entry.offset >= starts[entry.partition]
                or (entry.partition, entry.offset) in waiting
            ]
            if records:
                await target.append(records)
                copied[topic] += len(records)
        if {p: span.next for p, span in (await source.spans(topic)).items()} != {
            p: span.next for p, span in before.items()
        }:
            raise Refused(
                f"{topic} grew while it was copied: stop every receiver of the old log, and run "
                "this again (copying twice is harmless)"
            )
    return copied


async def _waiting(source: Log) -> set[tuple[int, int]]:
    """Places of the parked records that were not replayed."""
    return {
        (row.parked_partition, row.parked_offset)
        for row in (await last_states(source)).values()
        if not row.replayed
    }


def _renamed(entry: Entry) -> Record:
    record = entry.record
    return Record(
        record.topic,
        record.key,
        record.id,
        record.time_ms,
        {**record.headers, "parked_id": OLD + _parked.decode(entry).id},
        record.body,
    )


async def begin_at_first(target: Log, store: Store, feeds: Collection[Feed]) -> None:
    """Set every position to the first record of `target`; counts and event times stay. Raises
    StoreError, Unavailable.

    Offsets belong to a log, so positions cannot be copied. Records that a processor had already
    read change nothing (the newest version of an entity wins, the outbox has one row per sale).
    """
    spans = {topic: await target.spans(topic) for topic in {feed.topic for feed in feeds}}
    with store.begin() as transaction:
        before = transaction.positions()
        transaction.execute("DELETE FROM positions")
        transaction.execute("DELETE FROM read_topic")
        transaction.execute("DELETE FROM stopped_shop")  # their processors read everything again
        for feed in sorted(feeds):
            mine = [position for position in before if feed_of(position) == feed]
            for number, (partition, span) in enumerate(sorted(spans[feed.topic].items())):
                transaction.execute(
                    "INSERT INTO positions (processor, topic, partition, next, records, "
                    "event_time_ms) VALUES (:processor, :topic, :partition, :next, :records, "
                    ":event_time_ms)",
                    processor=feed.processor,
                    topic=feed.topic,
                    partition=partition,
                    next=span.first,
                    records=sum(position.records for position in mine) if number == 0 else 0,
                    event_time_ms=max((position.event_time_ms for position in mine), default=0),
                )
        # What the new log says of a parked record is newer than what the old one said.
        transaction.execute(
            "UPDATE parked SET id = :old || id, parked_partition = -1, parked_offset = -1", old=OLD
        )
