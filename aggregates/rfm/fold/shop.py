"""Changes to all customers of a shop: its clock, its window, and the step from exact amounts to
bins. Each takes the exclusive lock of the shop's row."""

from collections.abc import Collection
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Final, NamedTuple

from aggregates.rfm.fold import customer as rfm_customer
from aggregates.rfm.fold.customer import BTYD_CELLS, CUSTOMERS, RFM_CELLS, SPEND_CELLS
from aggregates.rfm.fold.day_bins import purchase_days
from aggregates.rfm.fold.days import PURCHASE_DAYS, days_of
from aggregates.rfm.fold.money_bins import bin_edge
from processors.engine.processor import Deltas
from processors.engine.statements import one_of
from processors.shopify.tolerance import EPOCH_ORDINAL
from stream.store.contract import Entities, Key, Reading, Transaction

PAGE: Final = 5_000
"""Customers read at a time."""


class RfmShopRow(NamedTuple):
    """Columns of `rfm_shop`."""

    shop: str
    currency: str
    as_of_day: int
    """The window ends with this day of the shop."""
    exact: int
    """1 while cells keep amounts and days exactly."""
    window_days: int = 365
    """The window that the shop's customers are counted by."""


SHOPS = Entities("rfm_shop", RfmShopRow, 1)


def shop_rows(reading: Reading, keys: Collection[str] | None) -> list[RfmShopRow]:
    """The rows with these keys, or all, in the order of their keys; not locked."""
    if keys is not None and not keys:
        return []
    where, names = ("", {}) if keys is None else one_of(" WHERE shop", sorted(keys))
    columns = ", ".join(RfmShopRow._fields)
    found = reading.query(f"SELECT {columns} FROM rfm_shop{where} ORDER BY shop", **names)
    return [RfmShopRow(*row) for row in found]


def today(zone: tzinfo | None, offset_s: int, now_ms: int) -> int:
    """The shop's day, days since 1970-01-01; `offset_s` ahead of UTC if no zone is set."""
    zone = zone or timezone(timedelta(seconds=offset_s))
    return datetime.fromtimestamp(now_ms / 1000, zone).toordinal() - EPOCH_ORDINAL


def move_window(
    transaction: Transaction, shop: RfmShopRow, as_of_day: int, window_days: int
) -> RfmShopRow:
    """End the window with `as_of_day`, with `window_days`; only customers with days that leave or
    enter change.

    `shop` must be locked exclusively. Returns it as it is now.
    """
    before, cutoff = shop.as_of_day - shop.window_days, as_of_day - window_days
    sql = "SELECT customer FROM rfm_customer WHERE shop = :shop AND expires_day <= :cutoff"
    if cutoff < before:
        sql = (
            f"SELECT DISTINCT customer FROM {PURCHASE_DAYS} AS d WHERE shop = :shop"
            " AND day > :cutoff AND day <= :before"
        )
    customers = [
        row[0]
        for row in transaction.query(
            sql, shop=shop.shop, cutoff=cutoff, **({"before": before} if cutoff < before else {})
        )
    ]
    deltas, exact = Deltas(), bool(shop.exact)
    for start in range(0, len(customers), PAGE):
        rows = transaction.load(
            CUSTOMERS, [(shop.shop, customer) for customer in customers[start : start + PAGE]]
        )
        days = days_of(transaction, shop.shop, [old.customer for old in rows.values()])
        saved = []
        for old in rows.values():
            new = rfm_customer.from_days(shop.shop, old.customer, days[old.customer], cutoff)
            deltas.move(rfm_customer.cells(old, exact=exact), rfm_customer.cells(new, exact=exact))
            saved += [new] if new is not None else []
        transaction.save(CUSTOMERS, saved)
    deltas.save(transaction)
    moved = shop._replace(as_of_day=as_of_day, window_days=window_days)
    transaction.save(SHOPS, [moved])
    return moved


def to_bins(transaction: Transaction, name: str) -> None:
    """Coarsen cell keys to money bins and weeks, cell by cell; no customer is read."""
    shop = transaction.load(SHOPS, [(name,)])[(name,)]
    if not shop.exact:
        return
    deltas = Deltas()
    for cells in (RFM_CELLS, BTYD_CELLS, SPEND_CELLS):
        columns = ", ".join((*cells.key, *cells.measures))
        for row in transaction.query(
            f"SELECT {columns} FROM {cells.table} WHERE shop = :shop", shop=name
        ):
            key, measures = tuple(row[: len(cells.key)]), tuple(row[len(cells.key) :])
            deltas.move([(cells, key, measures)], [(cells, *_binned(cells.table, key, measures))])
    transaction.save(SHOPS, [shop._replace(exact=0)])
    deltas.save(transaction)


def _binned(table: str, key: Key, measures: tuple[int, ...]) -> tuple[Key, tuple[int, ...]]:
    if table == BTYD_CELLS.table:
        shop, x, first_day, last_day = key
        customers, repeat_revenue, _, _ = measures
        at = purchase_days(int(first_day), int(last_day), exact=False)
        offsets = at.first_offset * customers, at.last_offset * customers
        return (shop, x, at.first_day, at.last_day), (customers, repeat_revenue, *offsets)
    return (*key[:-1], bin_edge(int(key[-1]))), measures
