"""Records orders and refunds that a delivery of Shopify Events named without their data. They wait
until a complete state is fetched or delivered."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from processors.engine.statements import having_rows
from processors.shopify.orders import (
    Incomplete,
    Lacking,
    Order,
    OrderDeleted,
    OrderEvent,
    RefundCreated,
)
from stream.store.contract import Entities, Key, Transaction

HOUR_MS: Final = 3_600_000
FORGOTTEN_AFTER_MS: Final = 60 * 24 * HOUR_MS
"""Most apps may not read older orders (docs/facts/shopify-admin.md, "Scopes and the past")."""
ORDER, REFUND = "gid://shopify/Order/", "gid://shopify/Refund/"


class RefetchRow(NamedTuple):
    """Columns of `order_refetch`."""

    shop: str
    gid: str
    lacking: str
    """`Lacking.why` of the newest delivery."""
    triggered: str
    """`Lacking.triggered` of the newest delivery."""
    since_ms: int
    """When the first delivery came, Unix ms."""
    due_ms: int
    """When to fetch it next, Unix ms."""
    tries: int = 0
    """How often it was fetched or tried."""


REFETCH: Final = Entities("order_refetch", RefetchRow, 2)


class ForgetOld:
    """A `processors.engine.processor.Tick`: removes what is too old to be fetched, once an hour."""

    def __init__(self) -> None:
        self._next_ms = 0

    def __call__(self, transaction: Transaction, now_ms: int, shop: str | None = None) -> None:
        """Of all shops."""
        if now_ms >= self._next_ms:
            self._next_ms = now_ms + HOUR_MS
            transaction.execute(
                "DELETE FROM order_refetch WHERE since_ms < :old", old=now_ms - FORGOTTEN_AFTER_MS
            )


def note(transaction: Transaction, events: Sequence[OrderEvent], now_ms: int) -> None:
    """Add what `events` lack; remove what they bring whole."""
    lacking: dict[Key, list[Lacking]] = {}
    brought: list[OrderEvent] = []
    for event in events:
        if (missing := _lacking(event)) is not None:
            lacking.setdefault((event.shop, missing.gid), []).append(missing)
        else:
            brought.append(event)
    waiting = having_rows(transaction, REFETCH.table, {event.shop for event in events})
    if not lacking and not waiting:  # As nearly always.
        return
    whole: dict[Key, str] = {}
    for each in map(_whole, brought):
        if each is not None:
            key = (each.shop, each.gid)
            whole[key] = max(each.triggered, whole.get(key, ""))
    keys = lacking.keys() | {key for key in whole if key[0] in waiting}
    if not keys:
        return
    before = transaction.load(REFETCH, keys)
    after = {key: _noted(key, before.get(key), lacking.get(key, ()), now_ms) for key in keys}
    done = {
        key
        for key, row in after.items()
        if row is not None
        and ((key in whole and whole[key] >= row.triggered) or _newer_known(transaction, row))
    }
    transaction.delete(REFETCH, [key for key in done if key in before])
    transaction.save(
        REFETCH,
        [
            row
            for key, row in after.items()
            if row is not None and key not in done and row != before.get(key)
        ],
    )


class _Brought(NamedTuple):
    shop: str
    gid: str
    triggered: str


_MAY_LACK: Final = (Order, RefundCreated, Incomplete)
LAST = "~"
"""After every time of `Version.triggered`."""


def _whole(event: OrderEvent) -> _Brought | None:
    if isinstance(event, Order):
        return _Brought(event.shop, ORDER + event.order_id, event.version.triggered)
    if isinstance(event, OrderDeleted):
        return _Brought(event.shop, ORDER + event.order_id, LAST)
    if isinstance(event, RefundCreated):
        # What a refund took back and gave never shrinks, so any complete state of it will do.
        return _Brought(event.shop, REFUND + event.refund.id, LAST)
    return None


def _lacking(event: OrderEvent) -> Lacking | None:
    return event.lacking if isinstance(event, _MAY_LACK) else None


def _noted(
    key: Key, row: RefetchRow | None, lacking: Sequence[Lacking], now_ms: int
) -> RefetchRow | None:
    for each in lacking:
        came_ms = min(each.received_ms, now_ms)  # The receiver's clock may have been ahead.
        if row is None:
            shop, gid = map(str, key)
            row = RefetchRow(shop, gid, each.why, each.triggered, came_ms, came_ms)
        elif each.triggered > row.triggered:
            due_ms = min(row.due_ms, came_ms)
            row = row._replace(lacking=each.why, triggered=each.triggered, due_ms=due_ms)
    return row


def _newer_known(transaction: Transaction, row: RefetchRow) -> bool:
    """Whether the order has a state that was triggered later: then nothing is lacking any more. A
    later one that lacks something itself has made `row` as new as itself."""
    return bool(
        transaction.query(
            "SELECT 1 FROM shop_order"
            " WHERE shop = :shop AND order_id = :order_id AND triggered > :triggered",
            shop=row.shop,
            order_id=row.gid.removeprefix(ORDER),
            triggered=row.triggered,
        )
    )
