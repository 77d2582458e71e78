"""Moves positions back, so that processors read records again: after a lost position, or for
records that were missed.

Safe while processors run: a position moves by compare-and-set, so a processor in the middle of a
batch is fenced, rolls back and continues from the new position. Reading again changes nothing that
was folded before; it adds what was missed.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from orderwire.operation.refused import Refused
from processors.engine import read_topics
from stream.log.contract import Span
from stream.store.contract import Fenced, Move, Store

ATTEMPTS = 50
"""How often a running processor may commit a batch in between before we give up."""


class MovedPosition(NamedTuple):
    """A position that was moved. `before` is None if there was none."""

    processor: str
    partition: int
    before: int | None
    now: int
    lost: int
    """Records that retention had dropped before they were read."""


def targets(spans: Mapping[int, Span], to: int | None, partition: int | None) -> dict[int, int]:
    """The wanted offset of each partition; `to` None is the first record kept. Raises Refused."""
    if partition is not None and partition not in spans:
        raise Refused(
            f"there is no partition {partition}; there are {', '.join(map(str, sorted(spans)))}"
        )
    chosen = spans if partition is None else {partition: spans[partition]}
    if to is None:
        return {number: span.first for number, span in chosen.items()}
    if len(chosen) > 1:
        raise Refused("an offset belongs to one partition: name it with --partition")
    ((number, span),) = chosen.items()
    if not span.first <= to <= span.next:
        raise Refused(
            f"offset {to} is outside what partition {number} holds ({span.first} to {span.next})"
        )
    return {number: to}


def rewind(
    store: Store,
    topic: str,
    processors: Collection[str],
    wanted: Mapping[int, int],
    spans: Mapping[int, Span],
    *,
    identity: str = "",
    dry_run: bool = False,
) -> list[MovedPosition]:
    """Move the positions of `processors` on `topic` to `wanted` (offset by partition). Raises
    Refused, StoreError.

    `identity` is of the topic that they are positions of; "" where the log has none. Where another
    topic of that name was read until now, all of its partitions have to be read from the first
    record.

    A position never moves forward over records that are still in the log, which would lose them. A
    position before the first record kept moves to that record.
    """
    moved = []
    replaced = read_topics.others(store, topic, processors, identity) if identity else set()
    if replaced and wanted != {number: span.first for number, span in spans.items()}:
        raise Refused(
            f"{topic} is not the topic that was read until now, and nothing of it was read: say "
            "`--from earliest`, without --partition"
        )
    for processor in sorted(processors):
        for partition, target in sorted(wanted.items()):
            # Not stamina: a position that has moved is read anew, and may need no move any more.
            for attempt in range(ATTEMPTS):
                before = _position(store, processor, topic, partition)
                move = _moved(
                    processor,
                    topic,
                    partition,
                    before,
                    target,
                    spans[partition],
                    replaced=processor in replaced,
                )
                if move is None:
                    break
                try:
                    if not dry_run:
                        with store.begin() as transaction:
                            transaction.advance(
                                processor, topic, {partition: Move(before, target, 0)}, 0
                            )
                    moved.append(move)
                    break
                except Fenced:
                    if attempt == ATTEMPTS - 1:
                        raise
        if processor in replaced and not dry_run:
            with store.begin() as transaction:
                read_topics.begin_anew(transaction, processor, topic, identity, spans)
    return moved


def _moved(
    processor: str,
    topic: str,
    partition: int,
    before: int | None,
    target: int,
    span: Span,
    *,
    replaced: bool,
) -> MovedPosition | None:
    if before == target or (before is None and target == span.first):
        return None
    if replaced:
        return MovedPosition(processor, partition, before, target, 0)
    if before is not None and span.first <= before < target:
        raise Refused(
            f"{processor} is at {before} of {topic}/{partition}: going forward to {target} would "
            "skip records not yet read"
        )
    lost = 0 if before is None else max(0, span.first - before)
    return MovedPosition(processor, partition, before, target, lost)


def _position(store: Store, processor: str, topic: str, partition: int) -> int | None:
    with store.snapshot() as snapshot:
        found = [
            p.next
            for p in snapshot.positions(processor)
            if (p.topic, p.partition) == (topic, partition)
        ]
    return found[0] if found else None
