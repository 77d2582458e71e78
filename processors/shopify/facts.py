"""The facts of an order beyond its state. A fact that cannot be read is absent; nothing here
rejects an order."""

from typing import Any, Final, NamedTuple

from processors.orders.row import OrderDetail, OrderLine, encoded
from processors.shopify.landing import clean
from processors.shopify.raw_order import RawAddress, RawAmounts, RawLine, RawOrder, shop_side
from processors.shopify.tolerance import Rejected, identifier, money, text

LINES: Final = 250
CODES: Final = 20
CHARACTERS: Final = 100
_NOWHERE: Final = RawAddress()


class Facts(NamedTuple):
    """Fields of `processors.shopify.orders.Order`."""

    name: str
    country: str
    province: str
    detail: bytes


def facts(raw: RawOrder, currency: str) -> Facts:
    """The facts of an order's body."""
    place = raw.shipping_address or raw.billing_address or _NOWHERE
    detail = OrderDetail(
        subtotal=_money(raw.subtotal_price, raw.subtotal_price_set, currency),
        discount=_money(raw.total_discounts, raw.total_discounts_set, currency),
        shipping=_money(None, raw.total_shipping_price_set, currency),
        tax=_money(raw.total_tax, raw.total_tax_set, currency),
        discount_codes=tuple(
            [label for each in (raw.discount_codes or ())[:CODES] if (label := _text(each.code))]
        ),
        lines=tuple([_line(each, currency) for each in raw.lines[:LINES]]),
    )
    return Facts(
        name=_text(raw.name),
        country=_code(place.country_code),
        province=_code(place.province_code),
        detail=encoded(detail),
    )


def _line(line: RawLine, currency: str) -> OrderLine:
    quantity, current = _count(line.quantity), line.current_quantity
    return OrderLine(
        product_id=identifier(line.product_id) or "",
        variant_id=identifier(line.variant_id) or "",
        sku=_text(line.sku),
        quantity=quantity,
        current_quantity=quantity if current is None else _count(current),
        unit_price=_money(line.price, line.price_set, currency),
    )


def _count(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value < 1 << 31 else 0


def _text(value: Any) -> str:
    found = text(value)
    return clean(found, CHARACTERS) if found else ""


def _code(value: Any) -> str:
    """An ISO code in capitals; "" for anything else."""
    if isinstance(value, str) and len(value) == 2 and value.isascii() and value.isalpha():
        return value.upper()
    code = (text(value) or "").upper()
    if not code.isalnum():
        code = _text(value).upper()
    return code if len(code) <= 6 and code.isascii() and code.replace("-", "").isalnum() else ""


def _money(plain: Any, amounts: RawAmounts | None, currency: str) -> int | None:
    if plain in (None, "") and (given := shop_side(amounts)) is not None:
        plain = given.amount
    try:
        return money(plain, currency, "")
    except Rejected:
        return None
