"""Reads a refund object, as in refunds/create and in an order's `refunds`: what it took back, and
which money it gave. Either may come without the other (docs/facts/shopify.md, "Refunds")."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from processors.shopify.tolerance import (
    Rejected,
    bounded,
    currency_code,
    identifier,
    mapping,
    money,
    sequence,
    text,
)


class Refund(NamedTuple):
    """Money given back: successful refund transactions only, in minor units (docs/facts/shopify.md,
    "Refunds")."""

    id: str
    amount: int
    returned: int = 0
    """What the goods, shipping and duties that came off the order were worth, taxes included; more
    or less than the money."""


WORTH = (
    ("refund_line_items", ("subtotal_set", "total_tax_set")),
    ("refund_shipping_lines", ("subtotal_amount_set", "tax_amount_set")),
)
"""What a refund took back: lists of its body, and in each entry the worth and the tax on it."""
FEES = ("total_duties_set", "total_additional_fees_set")
"""What else it took back, beside lists."""
ADJUSTMENTS = ("order_adjustments", ("amount_set", "tax_amount_set"))
"""How the money differed from the worth, in the same form."""


FIELD = "refunds"
"""Names the sums in the reason why a record is parked."""


class Side(NamedTuple):
    """Which of the two amounts in each `*_set` is read."""

    name: str
    """`shop_money` or `presentment_money`."""
    currency: str


def amount_of(entry: Mapping[str, Any], field: str, side: Side) -> int:
    """The amount in `entry[field]`, a `*_set`; 0 if there is none. Raises Rejected."""
    written = mapping(mapping(entry.get(field)).get(side.name)).get("amount")
    return money(written, side.currency, field) or 0


def worth(body: Mapping[str, Any], side: Side, *, taxes: bool) -> int:
    """The worth of what a refund took back, in one currency; `taxes`: add them, since the prices
    lack them."""
    total = sum(amount_of(body, field, side) for field in FEES)
    for name, (subtotal, tax) in WORTH:
        for entry in map(mapping, sequence(body.get(name))):
            total += amount_of(entry, subtotal, side)
            total += amount_of(entry, tax, side) if taxes else 0
    return total


def adjusted(body: Mapping[str, Any], side: Side) -> int:
    """How much less money than worth was given back: negative if it was more."""
    name, fields = ADJUSTMENTS
    # Up to version 2024-07 given-back shipping was an adjustment; since then it has lines of its
    # own, and some bodies have it in both places.
    in_lines = bool(sequence(body.get("refund_shipping_lines")))
    return sum(
        amount_of(entry, field, side)
        for entry in map(mapping, sequence(body.get(name)))
        if not (in_lines and entry.get("kind") == "shipping_refund")
        for field in fields
    )


def paid_back_by(body: Mapping[str, Any], currency: str) -> dict[str, list[Any]]:
    """Successful refund transactions by currency; `currency` is that of unlabelled ones."""
    paid: dict[str, list[Any]] = {}
    for transaction in map(mapping, sequence(body.get("transactions"))):
        if transaction.get("kind") == "refund" and transaction.get("status") == "success":
            code = (text(transaction.get("currency")) or currency).upper()
            paid.setdefault(code, []).append(transaction.get("amount"))
    return paid


def _sum(amounts: Sequence[Any], currency: str) -> int:
    return sum(money(each, currency, "refund transaction amount") or 0 for each in amounts)


def refund(
    body: Mapping[str, Any], currency: str | None, *, taxes_included: bool | None
) -> Refund | None:
    """One refund object in `currency`, the shop's (None: unknown, and so is the money).

    None without an id. `taxes_included`: whether the shop's prices include their taxes, as the
    order says; then a line's subtotal includes its tax, and `total_tax` is a part of it (Shopify:
    Order `taxes_included`). None if no order says it (`refunds/create`): then the money decides.

    The money is the sum of the successful refund transactions. If those are in a buyer's currency
    other than the shop's, it is the worth in shop money less the adjustments: Shopify writes one
    for every difference between worth and money, negative if more was given back (Shopify: Refund
    `order_adjustments`).
    """
    refund_id = identifier(body.get("id")) or identifier(body.get("admin_graphql_api_id"))
    if refund_id is None or currency is None:
        return None if refund_id is None else Refund(refund_id, 0)
    shop = Side("shop_money", currency)
    paid = paid_back_by(body, currency)
    taxes = _taxes_were_added(body, paid) if taxes_included is None else not taxes_included
    returned = worth(body, shop, taxes=taxes)
    if set(paid) <= {currency}:
        paid_back = _sum(paid.get(currency, ()), currency)
    else:
        paid_back = returned - adjusted(body, shop)
    return Refund(refund_id, bounded(max(paid_back, 0), FIELD), bounded(returned, FIELD))


def _taxes_were_added(body: Mapping[str, Any], paid: Mapping[str, Sequence[Any]]) -> bool:
    """Whether the money is nearer to the worth with taxes added than to the worth without.

    False if undecidable: the order's own snapshot corrects a worth that is too small, since the
    larger one counts.
    """
    if not paid:
        return False
    buyer, amounts = next(iter(paid.items()))
    side = Side("presentment_money", buyer)
    try:
        written = _sum(amounts, buyer) + adjusted(body, side)
        added, included = (worth(body, side, taxes=taxes) for taxes in (True, False))
    except Rejected:
        return False  # A currency or an amount that nothing else depends on.
    return abs(written - added) < abs(written - included)


def refund_currency(body: Mapping[str, Any]) -> str | None:
    """The shop's currency by any shop money in the refund, else that of its transactions."""
    written = [
        (entry.get(amount), amount)
        for name, (amount, *_) in (*WORTH, ADJUSTMENTS)
        for entry in map(mapping, sequence(body.get(name)))
    ]
    for amounts, field in (*written, *((body.get(field), field) for field in FEES)):
        if code := currency_code(
            mapping(mapping(amounts).get("shop_money")).get("currency_code"), field
        ):
            return code
    for transaction in map(mapping, sequence(body.get("transactions"))):
        if code := currency_code(transaction.get("currency"), "transaction currency"):
            return code
    return None
