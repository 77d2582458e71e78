"""GET /v1/orders/{id}: one order by Shopify's id or by its name, `#1001`."""

import asyncio
from typing import Any, Final

from aggregates.budget.fold.attribution import attribute
from aggregates.days.fold.projection import NAME as DAYS
from aggregates.parameters import text
from destinations.delivery.answer import order
from processors.engine.feed import Feed
from processors.engine.projection import live_key
from processors.orders.row import SETTLED, OrderRow, counts, decoded
from processors.orders.state import net, paid_back
from query.as_of import AsOf, as_of, today, zone_of
from query.endpoints.destinations import accounts_of
from query.endpoints.destinations import feeds as destination_feeds
from query.endpoints.order_schema import BoughtLine, CountedIn, OrderKnown
from query.envelope import answered
from query.problem import not_found
from query.route import ApiRoute, Asked
from query.services import services_of
from stream.money import MoneyJson, money
from stream.store.contract import Reading
from stream.times import day_text, instant

Json = dict[str, Any]
FEEDS: Final = (Feed("orders", "orders"),)
ID: Final = text(
    "id", "Shopify's order id, or the order's name (`#1001`, as `%231001`)", where="path"
)


async def _order(asked: Asked) -> Json:
    services, of = services_of(asked), (*FEEDS, *destination_feeds(asked.settings))
    spans = await services.lags.spans({feed.topic for feed in of})

    def read() -> tuple[OrderKnown, AsOf]:
        with services.store.snapshot() as snapshot:
            positions = snapshot.positions()
            day = today(asked.now_ms, zone_of(snapshot, asked.shop, asked.settings.zone))
            row = find(snapshot, asked.shop, asked.values["id"])
            if row is None:
                raise not_found(
                    "no order of this id or name is known",
                    "a name begins with # (%23 in a URL) unless the shop's format differs; see"
                    " GET /v1/status for records that wait or are parked",
                )
            return _known(snapshot, asked, row), as_of(asked.now_ms, day, of, positions, spans)

    found, rests_on = await asyncio.to_thread(read)
    return answered(asked.shop, rests_on, found)


def find(reading: Reading, shop: str, wanted: str) -> OrderRow | None:
    """The order of this id; else the newest of this name, with or without its `#`."""
    if (row := SETTLED.by_id(reading, shop, [wanted]).get(wanted)) is not None:
        return row
    sql = (
        f"SELECT {', '.join(OrderRow._fields)} FROM shop_order WHERE shop = :shop AND name = :name"
        " ORDER BY processed_ms DESC, order_id DESC LIMIT 1"
    )
    names = (wanted, f"#{wanted}")
    for name in names:
        if rows := reading.query(sql, shop=shop, name=name):
            return OrderRow._make(rows[0])
    # By name packed orders have no index: some seconds for a million of them.
    named = [row for row in SETTLED.everything(reading, shop) if row.name in names]
    return max(named, key=lambda row: (row.name == wanted, row.processed_ms), default=None)


def _known(reading: Reading, asked: Asked, row: OrderRow) -> OrderKnown:
    detail, seen = decoded(row.detail), row.updated_us >= 0
    deliveries = [
        order(reading, shown, row.order_id)
        for shown in accounts_of(reading, asked.shop, asked.settings.accounts).values()
    ]
    return OrderKnown(
        id=row.order_id,
        name=row.name,
        made_at=instant(row.processed_ms) if seen else None,
        updated_at=instant(row.updated_us // 1_000) if seen else None,
        financial_status=row.financial_status or None,
        test=bool(row.test),
        cancelled=bool(row.cancelled),
        deleted=bool(row.deleted),
        channel=row.source_name or None,
        country=row.country or None,
        total=_money(row, row.total),
        current_total=_money(row, row.current_total),
        refunded=_money(row, paid_back(row)),
        discount_codes=list(detail.discount_codes),
        lines=[
            BoughtLine(
                product_id=line.product_id,
                variant_id=line.variant_id,
                sku=line.sku,
                quantity=line.quantity,
                current_quantity=line.current_quantity,
                unit_price=None
                if line.unit_price is None
                else money(line.unit_price, row.currency),
            )
            for line in detail.lines
        ],
        aggregates=_counted(reading, row) if seen else None,
        destinations=[each for each in deliveries if each is not None],
    )


def _money(row: OrderRow, units: int) -> MoneyJson | None:
    return money(units, row.currency) if row.currency else None


def _counted(reading: Reading, row: OrderRow) -> CountedIn:
    is_sale = counts(row)
    where = attribute(row.landing)
    customer = _kept(reading, row)
    first = None
    if is_sale and customer:
        rows = reading.query(
            "SELECT order_id FROM day_customer WHERE shop = :shop AND customer = :customer",
            shop=live_key(reading, row.shop, DAYS),
            customer=customer,
        )
        first = rows[0][0] == row.order_id if rows else None
    carts = reading.query(
        "SELECT state FROM cart_checkout WHERE shop = :shop AND token = :token",
        shop=row.shop,
        token=row.checkout_token,
    )
    return CountedIn(
        counts=is_sale,
        day=day_text(row.day),
        net=money(net(row), row.currency),
        customer=customer or None,
        first_of_customer=first,
        ad_channel=where.channel or None,
        campaign=where.campaign or where.campaign_id or None,
        cart=carts[0][0] or None if carts else None,
    )


def _kept(reading: Reading, row: OrderRow) -> str:
    """The order's customer, as merges have it."""
    rows = reading.query(
        "SELECT kept FROM customer_alias WHERE shop = :shop AND deleted = :customer",
        shop=row.shop,
        customer=row.customer,
    )
    return str(rows[0][0]) if rows else row.customer


ORDERS: Final = ApiRoute(
    "GET",
    "/v1/orders/{id}",
    "What is known of one order: facts, where it counts, its delivery to each destination",
    _order,
    parameters=(ID,),
    answer=OrderKnown,
)
