"""A shop that every path of the API has something to say about."""

from processors.engine.parking import PARKED_CELLS
from stream.record import Entry
from stream.store.contract import Move
from stream.store.sql.store import SqlStore
from tests.support.api.api_client import NOW_MS, TODAY, fold
from tests.support.delivery import capi_orders
from tests.support.shopify.cart_events import checkout
from tests.support.shopify.orders import SHOP, order
from tests.support.shops.folding import all_orders, carts_checkouts

_ENDED_S = (TODAY + 1) * 86_400
STATEMENT: dict[str, list[tuple[str | int, ...]]] = {
    "statement_day": [(SHOP, TODAY - 1, "USD", _ENDED_S, _ENDED_S)],
    "missed_order": [(SHOP, "gone", 1, "orders/create", NOW_MS // 3_600_000 * 3_600, 1)],
    "statement_order": [
        (SHOP, TODAY - 1, "1001", "#1001", "web", 0, 3_511, "USD"),
        (SHOP, TODAY - 1, "7", "#7", "web", 0, 700, "USD"),
        (SHOP, TODAY - 1, "gone", "#8", "web", 0, 800, "USD"),
    ],
}
"""Yesterday as Shopify has it: an order on its way, one of the past, one that never came."""


def fill(store: SqlStore) -> None:
    """A shop with customers, a cart, a campaign, and an order on its way to Meta."""
    bought = [
        order(
            f"{n}",
            customer=f"{n % 40}",
            day=TODAY - n % 50,
            total=100 * n,
            landing_site="/?utm_id=1&utm_source=fb",
        )
        for n in range(200)
    ]
    fold(store, [bought], processor=all_orders())
    sent = capi_orders.record(capi_orders.body(1001))
    capi = capi_orders.processor(capi_orders.settings())
    with store.begin() as transaction:
        transaction.advance("orders", "orders", {0: Move(None, 5, 5)}, NOW_MS - 1_000)
        carts_checkouts().apply(transaction, [checkout("c1", 0)], NOW_MS)
        event = capi.decode(Entry(sent, 0, 0))
        assert event is not None
        capi.apply(transaction, [event], NOW_MS)
        transaction.add(
            PARKED_CELLS,
            {(SHOP, "malformed_json"): (2,), (SHOP, "no_order_id"): (1,), ("other", "x"): (0,)},
        )
        for table, columns in STATEMENT.items():
            for row in columns:
                names = ", ".join(f":v{place}" for place in range(len(row)))
                values = {f"v{place}": value for place, value in enumerate(row)}
                transaction.execute(f"INSERT INTO {table} VALUES ({names})", **values)
