"""The newest orders of a shop, read from the end of the topic `orders`.

A place in the log is a cursor, so that a client that was away gets what it missed, as far as
`BACK_RECORDS` reach.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from processors.shopify.orders import Order, decode_order
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


async def newest(log: Log, shop: str, cursor: Cursor | None) -> tuple[list[LiveOrder], Cursor]:
    """Orders of `shop` from `cursor` on, the newest `AT_MOST`, and the cursor behind them.

    Raises LogError.
    """
    found: list[tuple[int, LiveOrder]] = []
    reached: Cursor = {}
    for partition, span in (await log.spans(TOPIC)).items():
        start = max(span.first, span.next - BACK_RECORDS)
        if cursor is not None and partition in cursor:
            start = min(max(start, cursor[partition]), span.next)
        entries = []
        if start < span.next:
            entries = await log.scan(TOPIC, partition, start, BACK_RECORDS)
        reached[partition] = entries[-1].offset + 1 if entries else span.next
        for entry in entries:
            if entry.record.headers.get("shop") != shop:
                continue
            try:
                event = decode_order(entry, {}, with_facts=True)
            except Rejected:
                continue
            if isinstance(event, Order):
                found.append((entry.record.time_ms, _shown(event)))
    found.sort(key=lambda each: each[0])
    return [order for _, order in _latest(found)][-AT_MOST:], reached


def _latest(found: list[tuple[int, LiveOrder]]) -> list[tuple[int, LiveOrder]]:
    """One entry per order, its last one."""
    last: Mapping[str, tuple[int, LiveOrder]] = {each[1].order_id: each for each in found}
    return sorted(last.values(), key=lambda each: each[0])


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
