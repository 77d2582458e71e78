"""The shop's UTC offset, learned from its orders."""

from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from processors.engine.statements import one_of
from processors.shopify.orders import Order
from stream.store.contract import Entities, Reading

DAY_MS: Final = 86_400_000
NAMED: Final = 500
"""Shops that a statement names; of more, all are read."""


class OrderShopRow(NamedTuple):
    """Columns of `order_shop`. Locked by whoever changes what all orders of a shop depend on."""

    shop: str
    offset_day: int = 0
    offset_s: int = 0
    """How far the shop is ahead of UTC, by the times of its newest orders, those of `offset_day`;
    where no time zone is set. Shopify writes order times in the shop's own offset."""


SHOPS: Final = Entities("order_shop", OrderShopRow, 1)


def learned(shop: OrderShopRow, orders: Iterable[Order], now_ms: int) -> OrderShopRow:
    """The shop with the offset of its newest orders. Test orders are ignored: they may be older
    than its settings."""
    newest = (shop.offset_day, shop.offset_s)
    known = [order for order in orders if order.offset_known and not order.test]
    # Shopify's clock too, where ours is behind.
    sure_ms = max([now_ms, *(order.version.updated_us // 1_000 for order in known)])
    tomorrow = sure_ms // DAY_MS + 1
    seen = {(order.day, order.processed_at.utcoffset()) for order in known}
    for day, offset in seen:
        if newest[0] <= day <= tomorrow and offset is not None:
            newest = max(newest, (day, round(offset.total_seconds())))
    return shop._replace(offset_day=newest[0], offset_s=newest[1])


def offsets(reading: Reading, shops: Collection[str]) -> dict[str, int]:
    """Seconds ahead of UTC by shop, of shops with orders."""
    if not shops:
        return {}
    where, names = one_of(" WHERE shop", sorted(shops)) if len(shops) <= NAMED else ("", {})
    found = reading.query(f"SELECT shop, offset_s FROM order_shop{where}", **names)
    return {shop: offset_s for shop, offset_s in found if shop in shops}
