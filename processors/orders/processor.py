"""The processor of orders: decodes each record once, folds it into the order's row of facts, and
passes the change to the projections that the composition root names."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Final

from processors.engine.daily_pass import DailyPass
from processors.engine.processor import Tick
from processors.engine.projection import (
    Change,
    Projection,
    ProjectionWork,
    Projector,
    ticks_of_projections,
)
from processors.engine.shared_decoding import Share, Unshared
from processors.engine.statements import one_of
from processors.orders import refetch
from processors.orders.aliases import Aliases
from processors.orders.packing import OrderPacking
from processors.orders.row import ORDERS, SETTLED, OrderRow, same_facts
from processors.orders.shop import SHOPS, OrderShopRow, learned
from processors.orders.state import fold
from processors.privacy.late import anonymised, redacted_orders
from processors.shopify.orders import (
    CustomersMerged,
    Incomplete,
    Order,
    OrderDeleted,
    OrderEvent,
    RefundCreated,
    Zones,
    decode_order,
    with_facts,
)
from stream.record import Entry
from stream.store.contract import Key, Transaction

NAME: Final = "orders"
Follow = Callable[[Transaction, Sequence[Order], int], None]
"""(transaction, snapshots of orders, now in Unix ms): entities that orders change, too."""


_OF_NO_ORDER: Final = (CustomersMerged, Incomplete)


class OrdersProcessor:
    """A `processors.engine.processor.Processor`. `zones` are of the shops that have one set."""

    name = NAME
    topic = "orders"

    def __init__(
        self,
        zones: Zones,
        projections: Collection[Projection] = (),
        followers: Collection[Follow] = (),
        share: Share[OrderEvent] | None = None,
    ) -> None:
        """`share`: of the process's decoded orders; by itself it decodes with `zones`."""
        self._share: Share[OrderEvent] = (
            Unshared(partial(decode_order, zones=zones)) if share is None else share
        )
        self._zones, self._followers = zones, tuple(followers)
        self._projections = tuple(projections)
        self._projector = Projector(self._projections)
        self._packing = DailyPass(OrderPacking(self._projector))
        self._forget_refetches = refetch.ForgetOld()

    def decode(self, entry: Entry) -> OrderEvent | None:
        """An order's event, or a merge of customers. Raises Rejected."""
        event = self._share.decode(entry)
        return with_facts(event) if isinstance(event, Order) else event

    def apply(self, transaction: Transaction, events: Sequence[OrderEvent], now_ms: int) -> None:
        """Fold `events` into rows, and the rows' changes into every aggregate."""
        by_shop: dict[str, list[OrderEvent]] = {}
        for event in events:
            by_shop.setdefault(event.shop, []).append(event)
        if not by_shop:
            return
        events = _without_redacted(transaction, events)
        work = self._projector.begin(transaction, by_shop)
        self._shops(transaction, by_shop, now_ms)
        for shop in sorted(by_shop):
            _merge(transaction, work, shop, by_shop[shop])
        if changes := _folded(transaction, events):
            work.apply(ORDERS, changes, now_ms)
        refetch.note(transaction, events, now_ms)
        orders = [event for event in events if isinstance(event, Order)]
        if orders:
            for follow in self._followers:
                follow(transaction, orders, now_ms)

    def _shops(
        self, transaction: Transaction, by_shop: Mapping[str, Sequence[OrderEvent]], now_ms: int
    ) -> None:
        """Lock the shops: exclusively if customers are merged or the shop's offset changes."""
        among, names = one_of("shop", sorted(by_shop))
        sql = f"SELECT {', '.join(OrderShopRow._fields)} FROM order_shop WHERE {among}"
        known = {row[0]: OrderShopRow(*row) for row in transaction.query(sql, **names)}
        changing = [
            shop
            for shop, events in by_shop.items()
            if shop not in known
            or any(isinstance(event, CustomersMerged) for event in events)
            or self._learned(known[shop], events, now_ms) != known[shop]
        ]
        if changing:
            found = transaction.load(SHOPS, [(shop,) for shop in sorted(changing)])
            rows = [
                self._learned(found.get((shop,), OrderShopRow(shop)), by_shop[shop], now_ms)
                for shop in sorted(changing)
            ]
            transaction.save(SHOPS, [row for row in rows if found.get((row.shop,)) != row])
        rest = [(shop,) for shop in sorted(by_shop.keys() - set(changing))]
        transaction.load(SHOPS, rest, shared=True)

    def _learned(
        self, shop: OrderShopRow, events: Sequence[OrderEvent], now_ms: int
    ) -> OrderShopRow:
        if shop.shop in self._zones:
            return shop
        return learned(shop, (event for event in events if isinstance(event, Order)), now_ms)

    @property
    def ticks(self) -> Mapping[str, Tick]:
        """Time-driven changes by projection: one that fails stops no other."""
        return {
            **ticks_of_projections(self._projections),
            "settled orders": self._packing,
            "refetches": self._forget_refetches,
        }

    def tick(self, transaction: Transaction, now_ms: int, shop: str | None = None) -> None:
        """All `ticks`, one after the other."""
        for tick in self.ticks.values():
            tick(transaction, now_ms, shop)


def _without_redacted(
    transaction: Transaction, events: Sequence[OrderEvent]
) -> Sequence[OrderEvent]:
    """Orders of redacted persons count under their anonymous key."""
    orders = [event for event in events if isinstance(event, Order)]
    redacted = redacted_orders(transaction, orders) if orders else {}
    if not redacted:
        return events
    return [
        anonymised(event, row)
        if isinstance(event, Order) and (row := redacted.get((event.shop, event.order_id)))
        else event
        for event in events
    ]


def _merge(
    transaction: Transaction, work: ProjectionWork, shop: str, events: Sequence[OrderEvent]
) -> None:
    merges = [event for event in events if isinstance(event, CustomersMerged)]
    if not merges:
        return
    aliases = Aliases(transaction, shop)
    for event in merges:
        gone = aliases.merge(event)
        work.merged(shop, [(customer, aliases.kept(customer)) for customer in gone])


def _folded(transaction: Transaction, events: Sequence[OrderEvent]) -> list[Change[OrderRow]]:
    """Fold events into rows, and save those that changed. Returns the changes of facts."""
    by_order: dict[Key, list[Order | RefundCreated | OrderDeleted]] = {}
    for event in events:
        if not isinstance(event, _OF_NO_ORDER):
            by_order.setdefault((event.shop, event.order_id), []).append(event)
    before = SETTLED.load(transaction, ORDERS, by_order)
    changes: list[tuple[OrderRow | None, OrderRow]] = []
    for key, its_events in by_order.items():
        old = new = before.get(key)
        for event in its_events:
            new = fold(new, event)
        if new is not None and new != old:
            changes.append((old, new))
    transaction.save(ORDERS, [new for _, new in changes], before)
    return [Change(old, new) for old, new in changes if old is None or not same_facts(old, new)]
