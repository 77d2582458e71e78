"""What the tables of RFM say of some shops beside their cells: rows of those shops only, since an
agency's other shops would make every answer slower."""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import NamedTuple

from aggregates.rfm.fold.projection import NAME
from processors.engine.projection import live_keys
from processors.engine.statements import one_of
from stream.store.contract import Reading

CURRENCY = "currency"
"""The projection that counts orders by currency."""


class CountedShop(NamedTuple):
    """One shop."""

    key: str
    """The column `shop` of its live generation's rows (`processors/engine/projection.py`)."""
    currency: str
    """Empty until an order was folded."""
    as_of_day: int | None
    exact: bool
    left_out: tuple[int, int, int]
    """Orders without customer and e-mail address, their revenue in minor units, and orders in
    another currency."""


def counted(reading: Reading, shops: Collection[str]) -> Mapping[str, CountedShop]:
    """Those of `shops` of which a generation is live."""
    live = live_keys(reading, NAME, shops)
    if not live:
        return {}
    among, keys = one_of("shop", sorted(live))
    nobody = {
        row.shop: (row.orders, row.revenue)
        for row in reading.query(
            "SELECT shop, orders, revenue FROM rfm_left_out_cell"
            f" WHERE reason = 'no_customer' AND {among}",
            **keys,
        )
    }
    rows = reading.query(
        f"SELECT shop, currency, as_of_day, exact FROM rfm_shop WHERE {among}", **keys
    )
    foreign = _foreign(reading, {live[row.shop]: row.currency for row in rows})
    return {
        live[row.shop]: CountedShop(
            row.shop,
            row.currency,
            row.as_of_day,
            bool(row.exact),
            (*nobody.get(row.shop, (0, 0)), foreign[live[row.shop]]),
        )
        for row in rows
    }


def _foreign(reading: Reading, currency_of: Mapping[str, str]) -> Counter[str]:
    """Orders in another currency than the shop's."""
    found = Counter[str]()
    live = live_keys(reading, CURRENCY, currency_of)
    if live:
        among, keys = one_of("shop", sorted(live))
        for row in reading.query(
            f"SELECT shop, currency, orders FROM order_currency_cell WHERE {among}", **keys
        ):
            shop = live[row.shop]
            if row.currency != currency_of[shop]:
                found[shop] += row.orders
    return found
