"""Changes to a placed order: each function changes the sale and its ledger. Money never exceeds
what the shop still has.

Every refund names the returned goods with their exact worth, and the money that moved.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any

from simulator.shop.catalogue import Product
from simulator.shop.order_bodies import refund
from simulator.shop.sale import Line, Sale
from stream.money import amount


def touch(sale: Sale, at: datetime) -> None:
    """The order has a new state from `at` on."""
    sale.triggered = max(at, sale.triggered + timedelta(microseconds=1))
    sale.updated = sale.triggered.replace(microsecond=0)


def cancel(random: Random, sale: Sale, at: datetime, refund_id: int) -> None:
    """Cancelled: voided if nothing was paid, else fully refunded."""
    if sale.financial_status == "pending":
        sale.financial_status = "voided"
    else:
        left = sale.current_total - sale.gestures
        everything = [(line, line.current) for line in sale.lines if line.current]
        sale.refunds.append(refund(sale, refund_id, at, everything, sale.shipping_left, left))
        sale.financial_status = "refunded"
        for line in sale.lines:
            line.current = 0
    sale.shipping_left = 0
    sale.cancelled = at.replace(microsecond=0)
    sale.cancel_reason = random.choice(("customer", "inventory", "fraud"))


def send_back(random: Random, sale: Sale, at: datetime, refund_id: int) -> None:
    """Some units come back, or all with the shipping."""
    there = [line for line in sale.lines if line.current]
    if random.random() < 0.4 and not sale.gestures:
        back, shipping = [(line, line.current) for line in there], sale.shipping_left
    else:
        line = random.choice(there)
        back, shipping = [(line, random.randint(1, line.current))], 0
    _take_off(sale, at, refund_id, back, shipping)
    sale.financial_status = "partially_refunded" if sale.units else "refunded"


def gesture(random: Random, sale: Sale, at: datetime, refund_id: int) -> None:
    """Money back, goods kept."""
    money = round((sale.current_total - sale.gestures) * random.choice((0.05, 0.1, 0.25)))
    sale.refunds.append(refund(sale, refund_id, at, (), 0, money))
    sale.gestures += money
    sale.financial_status = "partially_refunded"


def edit(
    random: Random, sale: Sale, at: datetime, refund_id: int, products: Sequence[Product]
) -> tuple[list[Line], list[tuple[Line, int]]]:
    """A unit is removed and its money refunded immediately, or a line is added and paid
    immediately: (lines added, units removed)."""
    sale.edited = True
    if sale.units > 1 and random.random() < 0.5:
        removed = [(next(line for line in sale.lines if line.current), 1)]
        _take_off(sale, at, refund_id, removed, 0)
        sale.financial_status = "partially_refunded"
        return [], removed
    added = [Line(sale.order_id * 10 + len(sale.lines), random.choice(products), 0, 1)]
    sale.lines.extend(added)
    return added, []


def _take_off(
    sale: Sale, at: datetime, refund_id: int, off: Sequence[tuple[Line, int]], shipping: int
) -> None:
    """`off` and `shipping` leave the order; their worth is refunded, as far as the shop still has
    that money."""
    before = sale.current_total
    refunded: dict[str, Any] = refund(sale, refund_id, at, off, shipping, 0)
    for line, quantity in off:
        line.current -= quantity
    sale.shipping_left -= shipping
    refunded["transactions"][0]["amount"] = amount(
        min(before - sale.current_total, before - sale.gestures), sale.currency
    )
    sale.gestures = min(sale.gestures, sale.current_total)
    sale.refunds.append(refunded)
