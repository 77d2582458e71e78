"""Reads a bounded sample of a shop's customers with all their orders; a customer's id decides
whether they are in it, so the same store gives the same sample."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from aggregates.rfm.first_orders.order import FirstOrder, first_order
from processors.engine.projection import live_key
from processors.orders.currency import CURRENCY
from processors.orders.customer import GUEST
from processors.orders.row import SETTLED, OrderRow, counts, decoded
from processors.orders.state import net
from stream.store.contract import Reading

MOST_ORDERS: Final = 40_000
"""Orders of a sample: about 10 MB while it is read."""
PAGE: Final = 2_000
CHUNK: Final = 500
DAY_MS: Final = 86_400_000
_SUFFIXES: Final = (1_000, 4_096)
"""How many endings of three characters there are: of an id's digits, of a guest's hash."""


class SampledOrder(NamedTuple):
    """An order of a sampled customer."""

    processed_ms: int
    order_id: str
    day: int
    net: int
    value: int
    source: str
    landing: str
    country: str


class SampledCustomer(NamedTuple):
    """A sampled customer; their orders by time."""

    id: str
    orders: tuple[SampledOrder, ...]

    @property
    def first(self) -> SampledOrder:
        return self.orders[0]

    def later(self, days: int) -> int:
        """What the orders after the first brought within `days` of it, minor units."""
        first, *rest = self.orders
        until = first.processed_ms + days * DAY_MS
        return sum(order.net for order in rest if order.processed_ms <= until)


def customers(
    reading: Reading, shop: str, currency: str, day: int, most_orders: int = MOST_ORDERS
) -> list[SampledCustomer]:
    """Sampled customers with their orders before `day`, by the time of the first.

    A share of all customers where there are more orders than `most_orders`. Merged customers are
    left out: which of their orders came first may lie under an id that is not in the sample.
    """
    found: dict[str, list[SampledOrder]] = {}
    for row in _orders(reading, shop, currency, day, most_orders):
        placed = SampledOrder(
            row.processed_ms,
            row.order_id,
            row.day,
            net(row),
            row.total,
            row.source_name,
            row.landing,
            row.country,
        )
        found.setdefault(row.customer, []).append(placed)
    merged = reading.query("SELECT deleted, kept FROM customer_alias WHERE shop = :shop", shop=shop)
    for names in merged:
        for name in names:
            found.pop(name, None)
    sampled = [SampledCustomer(name, tuple(sorted(orders))) for name, orders in found.items()]
    return sorted(sampled, key=lambda each: (each.first, each.id))


def _orders(
    reading: Reading, shop: str, currency: str, day: int, most_orders: int
) -> Iterator[OrderRow]:
    columns = ", ".join(name for name in OrderRow._fields if name != "detail")
    where, values = _sampled(reading, shop, most_orders)
    last = ""
    while True:
        page = reading.query(
            f"SELECT {columns} FROM shop_order WHERE shop = :shop AND order_id > :last"
            f" AND customer <> '' AND currency = :currency AND day < :day AND deleted = 0{where}"
            " ORDER BY order_id LIMIT :page",
            shop=shop,
            last=last,
            currency=currency,
            day=day,
            page=PAGE,
            **values,
        )
        for found in page:
            row = OrderRow._make((*found, b""))
            last = row.order_id
            if counts(row):
                yield row
        if len(page) < PAGE:
            break
    for row in SETTLED.everything(reading, shop):
        read = row.customer and row.currency == currency and row.day < day and counts(row)
        if read and (not values or _is_sampled(row.customer, values)):
            yield row


def _sampled(reading: Reading, shop: str, most_orders: int) -> tuple[str, dict[str, str]]:
    """What of the customers is read, by the end of their ids: all digits are equally frequent
    there, and so are those of a guest's hash."""
    key = live_key(reading, shop, CURRENCY.name)
    sql = "SELECT SUM(orders) FROM order_currency_cell WHERE shop = :shop"
    orders = reading.query(sql, shop=key)[0][0] or 0
    if orders <= most_orders:
        return "", {}
    digits, hexes = (max(1, int(most_orders / orders * each)) for each in _SUFFIXES)
    where = (
        " AND substr(customer, length(customer) - 2) <"
        " CASE WHEN substr(customer, 1, 2) = 'g:' THEN :hexes ELSE :digits END"
    )
    return where, {"digits": f"{digits:03d}", "hexes": f"{hexes:03x}"}


def _is_sampled(customer: str, values: Mapping[str, str]) -> bool:
    """The condition of `_sampled`."""
    return customer[-3:] < values["hexes" if customer.startswith(GUEST) else "digits"]


def first_orders(
    reading: Reading, shop: str, sampled: Sequence[SampledCustomer]
) -> list[FirstOrder]:
    """The first order of each customer, with what its lines and discounts say."""
    made: list[FirstOrder] = []
    for start in range(0, len(sampled), CHUNK):
        firsts = [each.first for each in sampled[start : start + CHUNK]]
        rows = SETTLED.by_id(reading, shop, [first.order_id for first in firsts])
        for first in firsts:
            row = rows.get(first.order_id)
            detail = decoded(b"" if row is None else bytes(row.detail))
            made.append(
                first_order(first.value, detail, first.source, first.landing, first.country)
            )
    return made
