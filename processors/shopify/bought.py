"""What the buyer of an order bought and pays for, whatever happened later: edits count and refunds
do not, so that a sale is worth the same in its first delivery and its last."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from processors.shopify.refunds import FEES, WORTH, Side, adjusted, amount_of, paid_back_by
from processors.shopify.tolerance import Rejected, identifier, mapping, money, sequence


class Taken(NamedTuple):
    """What refund objects took off an order. Money in minor units."""

    total: int = 0
    subtotal: int = 0
    """Of lines."""
    tax: int = 0


def gave_money(refund: Mapping[str, Any], currency: str) -> bool:
    """Whether a refund object gave money back, or owes some. Else it is an edit of an unpaid order:
    both take lines off the order."""
    for code, amounts in paid_back_by(refund, currency).items():
        if any(_positive(amount, code) for amount in amounts):
            return True
    try:
        return adjusted(refund, Side("shop_money", currency)) > 0
    except Rejected:
        return False


def _positive(amount: Any, currency: str) -> bool:
    try:
        return (money(amount, currency, "") or 0) > 0
    except Rejected:
        return amount not in (None, "", "0")  # A currency of which only the sign is wanted.


def taken(refunds: Sequence[Mapping[str, Any]], side: Side, *, taxes_included: bool) -> Taken:
    """The sum of what `refunds` took off, in the amounts of one side; unreadable ones count as
    none."""
    total = subtotal = tax = 0
    for refund in refunds:
        total += sum(_read(refund, field, side) for field in FEES)
        for name, (worth_field, tax_field) in WORTH:
            for entry in map(mapping, sequence(refund.get(name))):
                worth, its_tax = _read(entry, worth_field, side), _read(entry, tax_field, side)
                total += worth if taxes_included else worth + its_tax
                tax += its_tax
                subtotal += worth if name == LINES else 0
    return Taken(total, subtotal, tax)


LINES = "refund_line_items"


def units(refunds: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Units that `refunds` took off, by line item id."""
    found: dict[str, int] = {}
    for refund in refunds:
        for entry in map(mapping, sequence(refund.get(LINES))):
            line, count = identifier(entry.get("line_item_id")), entry.get("quantity")
            if line is not None and isinstance(count, int) and count > 0:
                found[line] = found.get(line, 0) + count
    return found


def _read(entry: Mapping[str, Any], field: str, side: Side) -> int:
    try:
        return amount_of(entry, field, side)
    except Rejected:
        return 0


def amount(original: int | None, current: int | None, edited: int, refunded: int) -> int | None:
    """A total of what was bought: `current` and what refunds took off; without a current total,
    `original` less what edits took off. None if the body has neither.

    | what happened | `current_*` of the body | bought |
    |---|---|---|
    | nothing | the order | the order |
    | edited down before payment | without the lines | without the lines |
    | edited up | with the lines | with the lines |
    | goods came back, money was given back or is owed | without the goods | with the goods |
    | money was given back without goods | the order | the order |
    """
    if current is not None:
        return current + refunded
    return None if original is None else max(original - edited, 0)


def quantity(original: int, current: int | None, edited: int, refunded: int) -> int:
    """Units of a line that were bought, by the same rule."""
    return max(original - edited, 0) if current is None else current + refunded
