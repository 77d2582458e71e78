"""Reads the amounts of an order in the shop's or the buyer's currency, each only when it is asked
for: most settings need the total. A malformed amount counts as absent."""

from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

from processors.shopify import bought
from processors.shopify.raw_order import RawAmounts, RawOrder
from processors.shopify.refunds import Side
from processors.shopify.tolerance import mapping, sequence, text
from stream.money import Money, minor

CurrencySide = Literal["shop", "presentment"]
SIDES: Final[tuple[CurrencySide, ...]] = ("shop", "presentment")
_NOTHING: Final = bought.Taken()


class Refunds(NamedTuple):
    """An order's refund objects: edits of what was never paid, and refunds."""

    edits: Sequence[dict[str, Any]]
    refunds: Sequence[dict[str, Any]]
    taxes_included: bool

    def taken(self, side: Side) -> tuple[bought.Taken, bought.Taken]:
        """By edits, and by refunds."""
        edited, refunded = (
            bought.taken(each, side, taxes_included=self.taxes_included) if each else _NOTHING
            for each in (self.edits, self.refunds)
        )
        return edited, refunded


def refunds_of(raw: RawOrder) -> Refunds:
    """The refund objects of an order's body."""
    if not raw.refunds:
        return NO_REFUNDS
    edits: list[dict[str, Any]] = []
    refunds: list[dict[str, Any]] = []
    currency = (text(raw.currency) or "").upper()
    for each in map(mapping, sequence(raw.refunds)):
        (refunds if bought.gave_money(each, currency) else edits).append(each)
    return Refunds(edits, refunds, raw.taxes_included is True)


NO_AMOUNTS: Final = (bool, list, dict)
NO_REFUNDS: Final = Refunds((), (), taxes_included=False)


class Amounts:
    """The amounts of one order; each method returns None where the body has none."""

    def __init__(self, raw: RawOrder) -> None:
        self._raw, self._refunds = raw, refunds_of(raw)

    def total(self, side: CurrencySide) -> Money | None:
        """Of all that was bought."""
        raw = self._raw
        current = money(raw.current_total_price, raw.current_total_price_set, raw.currency, side)
        if current is not None and self._refunds is NO_REFUNDS:
            return current
        original = None
        if current is None:
            original = money(raw.total_price, raw.total_price_set, raw.currency, side)
        return self._bought("total", original, current, side)

    def subtotal(self, side: CurrencySide) -> Money | None:
        """Of the items that were bought, discounts off."""
        raw = self._raw
        return self._bought(
            "subtotal",
            money(raw.subtotal_price, raw.subtotal_price_set, raw.currency, side),
            money(raw.current_subtotal_price, raw.current_subtotal_price_set, raw.currency, side),
            side,
        )

    def tax(self, side: CurrencySide) -> Money | None:
        """On all that was bought."""
        raw = self._raw
        return self._bought(
            "tax",
            money(raw.total_tax, raw.total_tax_set, raw.currency, side),
            money(raw.current_total_tax, raw.current_total_tax_set, raw.currency, side),
            side,
        )

    def shipping_tax(self, side: CurrencySide) -> Money | None:
        """On the shipping, a part of `tax`."""
        raw = self._raw
        taxes = [tax for line in raw.shipping_lines or () for tax in line.tax_lines or ()]
        return _sum([money(tax.price, tax.price_set, raw.currency, side) for tax in taxes])

    def shipping(self, side: CurrencySide) -> Money | None:
        """What the buyer paid for it, discounts off and taxes in: `discounted_price` of the lines,
        while `total_shipping_price_set` is before discounts."""
        raw = self._raw
        lines = [
            money(line.discounted_price, line.discounted_price_set, raw.currency, side)
            or money(line.price, line.price_set, raw.currency, side)
            for line in raw.shipping_lines or ()
        ]
        paid = _sum(lines) or money(None, raw.total_shipping_price_set, raw.currency, side)
        tax = self.shipping_tax(side)
        if paid is None or tax is None or raw.taxes_included is True:
            return paid
        return (
            paid._replace(units=paid.units + tax.units) if paid.currency == tax.currency else paid
        )

    def _bought(
        self, kind: str, original: Money | None, current: Money | None, side: CurrencySide
    ) -> Money | None:
        given = current or original
        if given is None:
            return None
        edited, refunded = self._refunds.taken(Side(f"{side}_money", given.currency))
        units = bought.amount(
            original.units if original else None,
            current.units if current else None,
            getattr(edited, kind),
            getattr(refunded, kind),
        )
        return Money(units or 0, given.currency)


def money(plain: Any, amounts: RawAmounts | None, currency: Any, side: str) -> Money | None:
    """From `<field>_set.<side>_money`; the plain field is shop money too (docs/facts/shopify.md,
    "Orders")."""
    if amounts is not None:
        given = amounts.shop_money if side == "shop" else amounts.presentment_money
        found = None if given is None else _amount(given.amount, given.currency_code)
        if found is not None:
            return found
    return _amount(plain, currency) if side == "shop" else None


def _amount(value: Any, currency: Any) -> Money | None:
    if value in (None, "") or isinstance(value, NO_AMOUNTS):
        return None
    code = (text(currency) or "").upper()
    if not code:
        return None
    try:
        return Money(minor(value, code), code)
    except ValueError:
        return None


def _sum(amounts: list[Money | None]) -> Money | None:
    """None if there is no amount, one is missing, or they are in several currencies."""
    given = [amount for amount in amounts if amount is not None]
    if not given or len(given) != len(amounts) or len({amount.currency for amount in given}) > 1:
        return None
    return Money(sum(amount.units for amount in given), given[0].currency)
