"""Parked records: kept whole on the topic `parked` until a replay.

A record is parked before the position that passes it is saved, so a crash in between parks it twice
under one id. The fold keeps one row per id, for the counts in `/v1/status`; the body stays in the
log only.
"""

import hashlib
from collections.abc import Collection, Sequence
from typing import NamedTuple

from processors.engine.processor import Deltas, Projection, fold_entities, in_shop
from processors.shopify.tolerance import Rejected
from stream.record import Entry, Record
from stream.store.contract import Cells, Entities, Key, Transaction


class ParkedRow(NamedTuple):
    """Columns of `parked`."""

    shop: str
    id: str
    topic: str
    """Our topic, where a replay goes."""
    source_topic: str
    reason: str
    turn: int
    """Odd: parked for the first, second, ... time; even: replayed after that. Partitions may be
    added, so offsets do not decide."""
    parked_partition: int
    parked_offset: int
    time_ms: int
    replayed: int


BODY_AT = "parked_body_at"
"""Header of a parked record whose body is only where it came from."""
PARKED_BY = "parked_by"
"""Header with the name of the processor that parked the record; older programs wrote none."""
LONGEST_ID = 512
HOUR_MS = 3_600_000
CHUNK = 1_000
UNKNOWN_TOPIC = "unknown_topic"
MOST_UNKNOWN = 1_000
"""Records of unknown topics that are counted per shop: a wrong subscription may send thousands an
hour, and nobody needs to know them one by one. The log has all of them."""
AT_ONCE = 20 * CHUNK
"""Rows of unknown topics that a tick deletes of a shop."""
KEPT_MS = 31 * 24 * HOUR_MS
"""A day more than the longest retention that may be set."""
PARKED = Entities("parked", ParkedRow, 2)
PARKED_CELLS = Cells("parked_cell", ("shop", "reason"), ("records",))


def parked(entry: Entry, rejected: Rejected, by: str = "") -> Record:
    """The record that the processor `by` appends to `parked` for a rejected entry; a replayed one
    keeps its first id."""
    record = entry.record
    headers = {
        **record.headers,
        **({PARKED_BY: by} if by else {}),
        "parked_reason": rejected.reason,
        "parked_from": entry.place,
        "parked_topic": record.topic,
        "parked_id": record.headers.get("parked_id", entry.place),
        "parked_turn": str(int(record.headers.get("parked_turn", "0")) + 1),
    }
    return Record("parked", record.key, record.id, record.time_ms, headers, record.body)


def without_body(record: Record) -> Record:
    """A record to park if the topic `parked` does not take its body."""
    headers = {**record.headers, BODY_AT: record.headers["parked_from"]}
    return Record(record.topic, record.key, record.id, record.time_ms, headers, b"")


def body_at(entry: Entry) -> tuple[str, int, int] | None:
    """Topic, partition and offset of a parked record's body; None where it is in the record."""
    place = entry.record.headers.get(BODY_AT)
    if place is None:
        return None
    topic, partition, offset = place.split("/")
    return topic, int(partition), int(offset)


def replayed(entry: Entry) -> list[Record]:
    """What a replay of a parked entry appends: the record on its own topic, and a note that it was
    replayed."""
    record = entry.record
    headers = {
        k: v
        for k, v in record.headers.items()
        if k not in ("parked_reason", "parked_from", "parked_topic", PARKED_BY, BODY_AT)
    }
    headers |= {"parked_id": _id(entry), "parked_turn": str(_turn(entry) + 1)}
    again = Record(
        record.headers.get("parked_topic", "orders"),
        record.key,
        record.id,
        record.time_ms,
        headers,
        record.body,
    )
    note = Record(
        "parked",
        record.key,
        record.id,
        record.time_ms,
        {**record.headers, **headers, "replayed": "1"},
        b"",
    )
    return [again, note]


def _id(entry: Entry) -> str:
    return parked_id(entry.record)


def parked_id(record: Record) -> str:
    """The id of a parked record: where the processor met it, or, from the receiver, the delivery's
    id."""
    name = record.headers.get("parked_id") or f"{record.headers.get('topic', '')}:{record.id}"
    # Neither header is signed; a key of thousands of characters is more than an index takes.
    return name if len(name) <= LONGEST_ID else hashlib.sha256(name.encode()).hexdigest()


def _turn(entry: Entry) -> int:
    """A record from the receiver has been parked once."""
    return int(entry.record.headers.get("parked_turn", "1"))


class ParkedProcessor:
    """Counts what is parked."""

    name = "parked"
    topic = "parked"

    def __init__(self) -> None:
        self._swept_hour = 0
        self._more_unknown = True
        """Whether records of unknown topics have come since the last tick that looked."""

    def decode(self, entry: Entry) -> ParkedRow:
        headers = entry.record.headers
        return ParkedRow(
            shop=headers.get("shop", ""),
            id=_id(entry),
            topic=headers.get("parked_topic", ""),
            source_topic=headers.get("topic", ""),
            reason=headers.get("parked_reason", "unknown"),
            turn=_turn(entry),
            parked_partition=entry.partition,
            parked_offset=entry.offset,
            time_ms=entry.record.time_ms,
            replayed=1 if headers.get("replayed") or headers.get("redacted") else 0,
        )

    def apply(self, transaction: Transaction, events: Sequence[ParkedRow], now_ms: int) -> None:
        fold_entities(
            transaction, PARKED, (((event.shop, event.id), event) for event in events), fold, cells
        )
        self._more_unknown |= any(event.reason == UNKNOWN_TOPIC for event in events)

    def tick(self, transaction: Transaction, now_ms: int, shop: str | None = None) -> None:
        """Once an hour, delete rows of records that no log holds any more, a thousand at a time.

        Until then a row must stay: a topic read again would otherwise count its record as waiting.
        Of unknown topics the oldest go at once, down to `MOST_UNKNOWN` per shop.
        """
        if shop is not None or self._more_unknown:
            self._more_unknown = _forget_unknown(transaction, shop)
        hour = now_ms // HOUR_MS
        if shop is None and hour == self._swept_hour:
            return
        here, of_shop = in_shop(shop)
        keys = transaction.query(
            f"SELECT shop, id FROM parked WHERE time_ms < :old{here} LIMIT {CHUNK}",
            old=now_ms - KEPT_MS,
            **of_shop,
        )
        _forget(transaction, [tuple(key) for key in keys])
        if shop is None and len(keys) < CHUNK:
            self._swept_hour = hour


def _forget(transaction: Transaction, keys: Collection[Key]) -> None:
    """Delete rows, and count them no longer."""
    old, deltas = transaction.load(PARKED, keys), Deltas()
    for row in old.values():
        deltas.take(cells(row))
    transaction.delete(PARKED, list(old))
    deltas.save(transaction)


def _forget_unknown(transaction: Transaction, shop: str | None) -> bool:
    """Delete the oldest rows of unknown topics beyond `MOST_UNKNOWN`. True if a shop has more of
    them than go at once."""
    here, of_shop = in_shop(shop)
    over = transaction.query(
        "SELECT shop, records FROM parked_cell"
        f" WHERE reason = '{UNKNOWN_TOPIC}' AND records > :most{here} ORDER BY shop",
        most=MOST_UNKNOWN,
        **of_shop,
    )
    for name, records in over:
        keys = transaction.query(
            "SELECT shop, id FROM parked"
            f" WHERE shop = :shop AND reason = '{UNKNOWN_TOPIC}' AND replayed = 0"
            " ORDER BY time_ms, id LIMIT :at_most",
            shop=name,
            at_most=min(records - MOST_UNKNOWN, AT_ONCE),
        )
        _forget(transaction, [tuple(key) for key in keys])
    return any(records - MOST_UNKNOWN > AT_ONCE for _, records in over)


def fold(row: ParkedRow | None, event: ParkedRow) -> ParkedRow:
    """The newest turn wins; of one turn seen twice, the last place."""
    if row is None or (event.turn, event.parked_partition, event.parked_offset) > (
        row.turn,
        row.parked_partition,
        row.parked_offset,
    ):
        return event
    return row


def cells(row: ParkedRow) -> Projection:
    """A record counts by its reason until it is replayed."""
    return [] if row.replayed else [(PARKED_CELLS, (row.shop, row.reason), (1,))]


def unparked(transaction: Transaction, keys: Collection[Key]) -> None:
    """Count these (shop, parked id) no longer: their records were erased."""
    deltas, changed = Deltas(), []
    for old in transaction.load(PARKED, keys).values():
        if not old.replayed:
            new = old._replace(replayed=1)
            deltas.move(cells(old), cells(new))
            changed.append(new)
    transaction.save(PARKED, changed)
    deltas.save(transaction)
