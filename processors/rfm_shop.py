"""What concerns all customers of a shop at once: its midnight, and the step from exact amounts to bins. Each locks the shop alone."""

from typing import NamedTuple

from processors import rfm_customer
from processors.money_bins import bin_edge, mid_week
from processors.processor import Deltas
from processors.rfm_customer import BTYD_CELLS, CUSTOMERS, RFM_CELLS, SPEND_CELLS, CustomerRow, DayRow
from stream.store import Entities, Key, Transaction


class ShopRow(NamedTuple):
    """Columns of `rfm_shop`."""

    shop: str
    currency: str
    as_of_day: int
    """The window ends with this day of the shop."""
    exact: int
    """1 while cells keep amounts and days exactly."""


SHOPS = Entities("rfm_shop", ShopRow, 1)


def expire(transaction: Transaction, name: str, today: int, window_days: int) -> None:
    """Move the window's end to `today`: customers with days that leave it change, nobody else is touched."""
    shop = transaction.load(SHOPS, [(name,)])[(name,)]
    if shop.as_of_day >= today:
        return
    cutoff = today - window_days
    leaving = transaction.query("SELECT customer FROM rfm_customer WHERE shop = :shop AND expires_day <= :cutoff", shop=name, cutoff=cutoff)
    before = transaction.load(CUSTOMERS, [(name, customer) for (customer,) in leaving])
    inside: dict[str, list[DayRow]] = {}
    for row in transaction.query(
        "SELECT d.shop, d.customer, d.day, d.orders, d.revenue FROM rfm_customer c"
        " JOIN rfm_customer_day d ON d.shop = c.shop AND d.customer = c.customer AND d.day > :cutoff"
        " WHERE c.shop = :shop AND c.expires_day <= :cutoff",
        shop=name,
        cutoff=cutoff,
    ):
        inside.setdefault(row[1], []).append(DayRow(*row))
    deltas, saved = Deltas(), []
    for (_, customer), old in before.items():
        days = inside.get(str(customer), [])
        new = old._replace(
            orders=sum(day.orders for day in days),
            revenue=sum(day.revenue for day in days),
            expires_day=min((day.day for day in days), default=None),
        )
        exact = bool(shop.exact)
        deltas.move(rfm_customer.cells(old, exact=exact), rfm_customer.cells(new, exact=exact))
        saved.append(new)
    transaction.save(CUSTOMERS, saved)
    transaction.save(SHOPS, [shop._replace(as_of_day=today)])
    deltas.save(transaction)


def to_bins(transaction: Transaction, name: str) -> None:
    """Give amounts the edges of their bins and days their weeks, cell by cell: no customer is read."""
    shop = transaction.load(SHOPS, [(name,)])[(name,)]
    if not shop.exact:
        return
    deltas = Deltas()
    for cells in (RFM_CELLS, BTYD_CELLS, SPEND_CELLS):
        columns = ", ".join((*cells.key, *cells.measures))
        for row in transaction.query(f"SELECT {columns} FROM {cells.table} WHERE shop = :shop", shop=name):
            key, measures = tuple(row[: len(cells.key)]), row[len(cells.key) :]
            deltas.count(cells, key, measures, -1)
            deltas.count(cells, _binned(cells.table, key), measures, 1)
    transaction.save(SHOPS, [shop._replace(exact=0)])
    deltas.save(transaction)


def _binned(table: str, key: Key) -> Key:
    if table == BTYD_CELLS.table:
        return (*key[:2], mid_week(int(key[2])), mid_week(int(key[3])))
    return (*key[:-1], bin_edge(int(key[-1])))


__all__ = ["SHOPS", "CustomerRow", "ShopRow", "expire", "to_bins"]
