"""The newest orders of a shop, read from the end of the topic `orders`.

A place in the log is a cursor, so that a client that was away gets what it missed, as far as
`BACK_RECORDS` reach.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from msgspec import Struct

from processors.shopify.orders import Order, decode_with_facts
from processors.shopify.tolerance import Rejected
from stream.log.contract import Log
from stream.money import MoneyJson, money
from stream.times import instant

TOPIC: Final = "orders"
BACK_RECORDS: Final = 200
"""Per partition: what a new client is shown, and how far behind a slow one may be. A feed for
people drops what they could not read anyway."""
AT_MOST: Final = 20
"""Orders in one look."""

Cursor = dict[int, int]
"""Partition -> the next offset to read."""


class LiveOrder(Struct, frozen=True, kw_only=True):
    """An order as one delivery saw it, without personal data."""

    order_id: str
    name: str
    total: MoneyJson
    financial_status: str
    cancelled: bool
    source_name: str | None
    received_at: str


def parsed(text: str | None) -> Cursor | None:
    """A cursor from `Last-Event-ID`; None where it is none."""
    try:
        pairs = [part.split(".") for part in (text or "").split("-") if part]
        found = {int(partition): int(offset) for partition, offset in pairs}
    except ValueError:
        return None
    in_range = all(0 <= part < 1 << 31 and 0 <= place < 1 << 62 for part, place in found.items())
    return found if found and in_range else None


def written(cursor: Cursor) -> str:
    """A cursor as the id of an event: `0.120-1.33`."""
    return "-".join(f"{partition}.{offset}" for partition, offset in sorted(cursor.items()))


def ahead(cursor: Cursor, other: Cursor) -> Cursor:
    """The further place of both, in each partition."""
    return {part: max(cursor.get(part, 0), other.get(part, 0)) for part in cursor | other}


class PlacedOrder(NamedTuple):
    """An order, and where in the log the delivery is that brought it."""

    partition: int
    offset: int
    received_ms: int
    order: LiveOrder


async def newest(log: Log, shop: str, cursor: Cursor) -> tuple[list[PlacedOrder], Cursor]:
    """Deliveries of orders of `shop` from `cursor` on, oldest first, and the cursor behind them.

    Of a partition that the cursor lacks, and of one that it is far behind in, the last
    `BACK_RECORDS`. Raises LogError.
    """
    found: list[PlacedOrder] = []
    reached: Cursor = {}
    for partition, span in (await log.spans(TOPIC)).items():
        start = max(span.first, span.next - BACK_RECORDS)
        if partition in cursor:
            start = min(max(start, cursor[partition]), span.next)
        entries = []
        if start < span.next:
            entries = await log.scan(TOPIC, partition, start, BACK_RECORDS)
        reached[partition] = entries[-1].offset + 1 if entries else span.next
        for entry in entries:
            if entry.record.headers.get("shop") != shop:
                continue
            try:
                event = decode_with_facts(entry, {})
            except Rejected:
                continue
            if isinstance(event, Order):
                when = entry.record.time_ms
                found.append(PlacedOrder(partition, entry.offset, when, _shown(event)))
    return sorted(found, key=lambda each: each.received_ms), reached


def shown(placed: Iterable[PlacedOrder], cursor: Cursor) -> list[LiveOrder]:
    """The newest `AT_MOST` orders behind `cursor`, each as its last delivery has it."""
    last = {
        each.order.order_id: each for each in placed if each.offset >= cursor.get(each.partition, 0)
    }
    latest = sorted(last.values(), key=lambda each: each.received_ms)
    return [each.order for each in latest][-AT_MOST:]


def _shown(order: Order) -> LiveOrder:
    return LiveOrder(
        order_id=order.order_id,
        name=order.name,
        total=money(order.current_total, order.currency),
        financial_status=order.financial_status,
        cancelled=order.cancelled,
        source_name=order.source_name,
        received_at=instant(order.received_ms),
    )
