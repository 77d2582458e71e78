"""RFM's tables filled by folding orders, and the central equation that must hold over them."""

from collections.abc import Sequence
from operator import add

from aggregates.rfm.fold import customer as rfm_customer
from aggregates.rfm.fold.customer import (
    BTYD_CELLS,
    LAST_DAY_CELLS,
    RFM_CELLS,
    SPEND_CELLS,
    CustomerRow,
    DayRow,
    from_days,
)
from aggregates.rfm.fold.days import PURCHASE_DAYS
from aggregates.rfm.fold.order import LEFT_OUT_CELLS
from aggregates.rfm.fold.shop import RfmShopRow
from processors.engine.projection import rows as rows_of
from processors.engine.projection import shop_of
from processors.orders.currency import CELLS as CURRENCY_CELLS
from processors.orders.processor import OrdersProcessor
from processors.orders.row import ORDERS, counts
from processors.orders.state import net
from processors.shopify.orders import OrderEvent
from stream.store.contract import Cells
from stream.store.sql.store import SqlReading, SqlStore
from tests.support.shopify.orders import DAY0
from tests.support.shops.folding import rfm_orders

OF_CUSTOMERS = (RFM_CELLS, LAST_DAY_CELLS, BTYD_CELLS, SPEND_CELLS)
CELLS = (*OF_CUSTOMERS, CURRENCY_CELLS, LEFT_OUT_CELLS)
TABLES = (
    *("rfm_early", "rfm_shop", "rfm_customer_day", "rfm_customer"),
    *("shop_order", "order_shop", "customer_alias", "projection"),
)
NOON_MS = 12 * 3_600_000


def at(day: int) -> int:
    return day * 86_400_000 + NOON_MS


def empty(store: SqlStore) -> None:
    with store.begin() as transaction:
        for table in (*TABLES, *(cells.table for cells in CELLS)):
            transaction.execute(f"DELETE FROM {table}")


def fold(
    store: SqlStore,
    batches: Sequence[Sequence[OrderEvent]],
    day: int = DAY0 + 31,
    processor: OrdersProcessor | None = None,
) -> OrdersProcessor:
    processor = processor or rfm_orders({})
    for batch in batches:
        with store.begin() as transaction:
            processor.apply(transaction, batch, at(day))
    return processor


def ticked(store: SqlStore, processor: OrdersProcessor, day: int = DAY0 + 31) -> None:
    with store.begin() as transaction:
        processor.tick(transaction, at(day))


def nonzero(store: SqlStore, cells: Cells) -> dict[tuple[object, ...], tuple[int, ...]]:
    with store.snapshot() as snapshot:
        return _nonzero(snapshot, cells)


def _nonzero(snapshot: SqlReading, cells: Cells) -> dict[tuple[object, ...], tuple[int, ...]]:
    size = len(cells.key)
    return {
        tuple(r[:size]): tuple(r[size:])
        for r in snapshot.changes(cells, None).rows
        if any(r[size:])
    }


def state(store: SqlStore) -> dict[str, object]:
    dump: dict[str, object] = {cells.table: nonzero(store, cells) for cells in CELLS}
    with store.snapshot() as snapshot:
        for table in TABLES:
            dump[table] = sorted(map(tuple, snapshot.query(f"SELECT * FROM {table}")))
    return dump


def assert_cells_are_the_sum_of_customers_and_customers_of_orders(
    store: SqlStore, window_days: int = 365
) -> None:
    """The central equation, from the orders up: everything behind the order rows is made anew and
    compared."""
    with store.snapshot() as snapshot:
        shops = {
            row[0]: RfmShopRow(*row)
            for row in snapshot.query(f"SELECT {', '.join(RfmShopRow._fields)} FROM rfm_shop")
        }
        rows = [row for key in shops for row in rows_of(snapshot, ORDERS, shop_of(key))]
        aliases = {
            (r[0], r[1]): r[2]
            for r in snapshot.query("SELECT shop, deleted, kept FROM customer_alias")
        }
        customers = {
            CustomerRow(*r)[:2]: CustomerRow(*r)
            for r in snapshot.query(f"SELECT {', '.join(CustomerRow._fields)} FROM rfm_customer")
        }
        columns = ", ".join(DayRow._fields)
        found = [DayRow(*r) for r in snapshot.query(f"SELECT {columns} FROM {PURCHASE_DAYS} AS d")]
        kept = [DayRow(*r) for r in snapshot.query(f"SELECT {columns} FROM rfm_customer_day")]
        stored = {cells.table: _nonzero(snapshot, cells) for cells in CELLS}
    days: dict[tuple[str, str, int], list[int]] = {}
    left_out: dict[tuple[str, str], tuple[int, int]] = {}
    currencies: dict[tuple[str, str], tuple[int]] = {}
    for row in filter(counts, rows):
        currencies[row.shop, row.currency] = (
            currencies.get((row.shop, row.currency), (0,))[0] + 1,
        )
        if row.day > shops[row.shop].as_of_day:
            continue
        if row.currency != shops[row.shop].currency:
            continue
        if not row.customer:
            orders, revenue = left_out.get((row.shop, "no_customer"), (0, 0))
            left_out[row.shop, "no_customer"] = orders + 1, revenue + net(row)
        else:
            total = days.setdefault(
                (row.shop, aliases.get((row.shop, row.customer), row.customer), row.day), [0, 0]
            )
            total[0] += 1
            total[1] += net(row)
    by_customer: dict[tuple[str, str], list[DayRow]] = {}
    for (shop, customer, day), (orders, revenue) in days.items():
        by_customer.setdefault((shop, customer), []).append(
            DayRow(shop, customer, day, orders, revenue)
        )
    expected = {
        key: from_days(*key, its_days, shops[key[0]].as_of_day - window_days)
        for key, its_days in by_customer.items()
    }
    assert customers == expected
    assert sorted(found) == sorted(day for its_days in by_customer.values() for day in its_days)
    assert all(customers[day.shop, day.customer].days > 1 for day in kept)
    sums: dict[str, dict[tuple[object, ...], tuple[int, ...]]] = {
        cells.table: {} for cells in OF_CUSTOMERS
    }
    for customer_row in customers.values():
        for cells, key, measures in rfm_customer.cells(
            customer_row, exact=bool(shops[customer_row.shop].exact)
        ):
            its = sums[cells.table]
            before = its.get(key)
            its[key] = measures if before is None else tuple(map(add, before, measures))
    for table, its in sums.items():
        assert stored[table] == {key: measures for key, measures in its.items() if any(measures)}, (
            table
        )
    assert stored[LEFT_OUT_CELLS.table] == left_out
    assert stored[CURRENCY_CELLS.table] == currencies
