"""RFM and LTV, per customer and shop, kept up to date with every order.

order -> purchase day -> customer -> cells. An order adds one to a day of a customer and its net money to it (`order_state`); the days make
the customer (`rfm_customer`); the customer counts in cells. Only differences travel, so an event that changes nothing costs one look-up.

The window is 365 days of the shop up to `as_of_day`, which `tick` moves on at the shop's midnight: it touches only customers with a day
that leaves. `rfm_shop` is read by every batch, shared, and locked alone by what concerns the whole shop: midnight, a merge of customers,
and the step from exact amounts to bins at 50,000 customers (analytics 3.6), which is never taken back.
"""

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from processors import rfm_customer
from processors.events import CustomersMerged, Order, OrderEvent, Zones, decode_order
from processors.order_state import OrderRow, counts, merge, net
from processors.processor import Deltas
from processors.rfm_customer import BTYD_CELLS, CUSTOMERS, DAYS, LAST_DAY_CELLS, RFM_CELLS, SPEND_CELLS, CustomerRow, DayRow
from processors.rfm_merge import Aliases
from processors.rfm_shop import SHOPS, ShopRow, expire, to_bins
from processors.tolerance import Rejected, shop_day
from stream.record import Entry
from stream.store import Cells, Entities, Key, Transaction

WINDOW_DAYS = 365
EXACT_BELOW = 50_000
"""Customers ever, below which amounts are kept exactly."""

ORDERS = Entities("rfm_order", OrderRow, 2)
LEFT_OUT_CELLS = Cells("rfm_left_out_cell", ("shop", "reason"), ("orders", "revenue"))


def customer_key(order: Order) -> str:
    """Whose order it is: the customer's id, a guest's hashed e-mail address, or "" where there is neither (left out, and counted)."""
    if order.customer_id is not None:
        return order.customer_id
    if order.email is None:
        return ""
    return "g:" + hashlib.sha256(unicodedata.normalize("NFC", order.email).strip().lower().encode()).hexdigest()[:32]


class Contribution(NamedTuple):
    """What an order adds to a purchase day."""

    customer: str
    day: int
    revenue: int


def contribution(row: OrderRow | None) -> Contribution | None:
    """What the order adds; None where it does not count."""
    return Contribution(row.subject, row.day, net(row)) if row is not None and counts(row) else None


class RfmProcessor:
    """Orders -> customers -> cells."""

    name = "rfm"
    topic = "orders"

    def __init__(self, zones: Zones, *, window_days: int = WINDOW_DAYS, exact_below: int = EXACT_BELOW) -> None:
        self._zones, self._window_days, self._exact_below = zones, window_days, exact_below
        self._grown: set[str] = set()

    def decode(self, entry: Entry) -> OrderEvent | None:
        return decode_order(entry, self._zones)

    def apply(self, transaction: Transaction, events: Sequence[OrderEvent], now_ms: int) -> None:
        by_shop: dict[str, list[OrderEvent]] = {}
        for event in events:
            by_shop.setdefault(event.shop, []).append(event)
        for name in sorted(by_shop):
            self._apply(transaction, name, by_shop[name], now_ms)

    def _apply(self, transaction: Transaction, name: str, events: Sequence[OrderEvent], now_ms: int) -> None:
        merges = [event for event in events if isinstance(event, CustomersMerged)]
        orders = [event for event in events if not isinstance(event, CustomersMerged)]
        shop = self._shop(transaction, name, orders, now_ms, alone=bool(merges))
        deltas = Deltas()
        work = _Batch(transaction, shop, shop.as_of_day - self._window_days, deltas)
        aliases = Aliases(transaction, name)
        for event in merges:
            work.move_days(aliases, event)
        work.days(self._orders(transaction, name, orders, aliases, deltas))
        deltas.save(transaction)
        self._grown.add(name)

    def _shop(self, transaction: Transaction, name: str, events: Sequence[OrderEvent], now_ms: int, *, alone: bool) -> ShopRow:
        """The shop as this batch goes by it. Raises Rejected for an order in another currency: it cannot be added to the others."""
        currencies = [event.currency for event in events if isinstance(event, Order)]
        shop = transaction.load(SHOPS, [(name,)], shared=not alone).get((name,))
        if shop is None:
            shop = ShopRow(name, currencies[0] if currencies else "", self._today(name, now_ms), 1)
            transaction.save(SHOPS, [shop])
        elif not shop.currency and currencies:
            shop = shop._replace(currency=currencies[0])
            transaction.save(SHOPS, [shop])
        for currency in currencies:
            if currency != shop.currency:
                raise Rejected("currency_mismatch", f"an order in {currency}, the shop's other orders are in {shop.currency}")
        return shop

    def _today(self, name: str, now_ms: int) -> int:
        return shop_day(datetime.fromtimestamp(now_ms / 1000, UTC), self._zones.get(name))

    def _orders(
        self, transaction: Transaction, name: str, events: Sequence[OrderEvent], aliases: Aliases, deltas: Deltas
    ) -> dict[tuple[str, int], list[int]]:
        """Fold orders; what they change of purchase days: (customer, day) -> [orders, revenue]."""
        by_order: dict[Key, list[OrderEvent]] = {}
        for event in events:
            if not isinstance(event, CustomersMerged):
                by_order.setdefault((name, event.order_id), []).append(event)
        before = transaction.load(ORDERS, by_order)
        changed: list[OrderRow] = []
        days: dict[tuple[str, int], list[int]] = {}
        for key, its_events in by_order.items():
            old = new = before.get(key)
            for event in its_events:
                new = merge(new, event, customer_key)
            if new is None or new == old:
                continue
            changed.append(new)
            was, now = contribution(old), contribution(new)
            if was == now:
                continue
            for told, sign in ((was, -1), (now, 1)):
                if told is None:
                    continue
                if not told.customer:
                    deltas.count(LEFT_OUT_CELLS, (name, "no_customer"), (1, told.revenue), sign)
                    continue
                change = days.setdefault((aliases.kept(told.customer), told.day), [0, 0])
                change[0] += sign
                change[1] += sign * told.revenue
        transaction.save(ORDERS, changed)
        return days

    def tick(self, transaction: Transaction, now_ms: int) -> None:
        """Midnight, the step to bins, and removing cells that have become zero."""
        grown, self._grown = self._grown, set()
        for name, as_of_day, exact in transaction.query("SELECT shop, as_of_day, exact FROM rfm_shop"):
            today = self._today(name, now_ms)
            if today > as_of_day:
                expire(transaction, name, today, self._window_days)
                for cells in (RFM_CELLS, LAST_DAY_CELLS, BTYD_CELLS, SPEND_CELLS):
                    transaction.sweep(cells)
            if exact and name in grown:
                ever = transaction.query("SELECT sum(customers) FROM rfm_last_day_cell WHERE shop = :shop", shop=name)[0][0]
                if (ever or 0) >= self._exact_below:
                    to_bins(transaction, name)


class _Batch:
    """Purchase days -> customers -> cells, for one shop in one transaction."""

    def __init__(self, transaction: Transaction, shop: ShopRow, cutoff: int, deltas: Deltas) -> None:
        self._transaction, self._shop, self._cutoff, self._deltas = transaction, shop, cutoff, deltas

    def days(self, changes: Mapping[tuple[str, int], Sequence[int]]) -> None:
        """Add to purchase days, and let their customers follow."""
        name = self._shop.shop
        changes = {key: change for key, change in changes.items() if any(change)}
        if not changes:
            return
        before = self._transaction.load(DAYS, [(name, customer, day) for customer, day in changes])
        saved: list[DayRow] = []
        emptied: list[Key] = []
        by_customer: dict[str, dict[int, tuple[DayRow | None, DayRow]]] = {}
        for (customer, day), (orders, revenue) in changes.items():
            old = before.get((name, customer, day))
            new = DayRow(name, customer, day, (old.orders if old else 0) + orders, (old.revenue if old else 0) + revenue)
            by_customer.setdefault(customer, {})[day] = (old, new)
            if new.orders:
                saved.append(new)
            elif old is not None:
                emptied.append((name, customer, day))
        self._transaction.save(DAYS, saved)
        self._transaction.delete(DAYS, emptied)
        self._customers(by_customer)

    def _customers(self, by_customer: Mapping[str, Mapping[int, tuple[DayRow | None, DayRow]]]) -> None:
        name = self._shop.shop
        before = self._transaction.load(CUSTOMERS, [(name, customer) for customer in by_customer])
        saved: list[CustomerRow] = []
        gone: list[Key] = []
        for customer, changes in by_customer.items():
            old = before.get((name, customer))
            new = rfm_customer.moved(old, changes, self._cutoff) or self._from_days(customer)
            self._count(old, new)
            if new is not None:
                saved.append(new)
            elif old is not None:
                gone.append((name, customer))
        self._transaction.save(CUSTOMERS, saved)
        self._transaction.delete(CUSTOMERS, gone)

    def _count(self, old: CustomerRow | None, new: CustomerRow | None) -> None:
        exact = bool(self._shop.exact)
        self._deltas.move(rfm_customer.cells(old, exact=exact), rfm_customer.cells(new, exact=exact))

    def _from_days(self, customer: str) -> CustomerRow | None:
        return rfm_customer.from_days(self._shop.shop, customer, self._all_days(customer), self._cutoff)

    def _all_days(self, customer: str) -> list[DayRow]:
        sql = "SELECT shop, customer, day, orders, revenue FROM rfm_customer_day WHERE shop = :shop AND customer = :customer"
        return [DayRow(*row) for row in self._transaction.query(sql, shop=self._shop.shop, customer=customer)]

    def move_days(self, aliases: Aliases, event: CustomersMerged) -> None:
        """All purchase days of the customer that is gone become those of the customer that is kept."""
        if not aliases.merge(event):
            return
        moving: dict[tuple[str, int], list[int]] = {}
        for row in self._all_days(event.deleted_id):
            moving[row.customer, row.day] = [-row.orders, -row.revenue]
            moving[aliases.kept(event.deleted_id), row.day] = [row.orders, row.revenue]
        self.days(moving)
