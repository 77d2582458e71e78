"""Draws the contents of an order at random."""

from collections.abc import Sequence
from datetime import datetime
from random import Random

from simulator.shop.catalogue import Arrival, Product, arrival
from simulator.shop.people import Person
from simulator.shop.sale import Line, Sale

PRESENTMENT = (("EUR", 0.92), ("GBP", 0.79), ("JPY", 151.0), ("CAD", 1.37))


def drawn(
    random: Random,
    at: datetime,
    order_id: int,
    number: int,
    buyer: Person | None,
    source: str,
    *,
    guest: bool,
    units: float,
    foreign: float,
    products: Sequence[Product],
    currency: str,
) -> Sale:
    """An order placed at `at`; no webhook is sent yet.

    `units` is this buyer's mean number of units, `foreign` the probability of another presentment
    currency.
    """
    picked = random.sample(products, min(3, 1 + int(random.expovariate(1.1))))
    lines = [
        _line(random, order_id, n, product, units / len(picked)) for n, product in enumerate(picked)
    ]
    web = source == "web"
    subtotal = sum(line.worth(line.quantity) for line in lines)
    shipping = products[7].price // 2 if web and subtotal < 6 * products[7].price else 0
    presentment, rate = currency, 1.0
    if web and random.random() < foreign:
        presentment, rate = random.choice([other for other in PRESENTMENT if other[0] != currency])
    second = at.replace(microsecond=0)
    origin = (
        arrival(random, int(at.timestamp() * 1000))
        if web
        else Arrival(None, None, None, None, None)
    )
    return Sale(
        order_id=order_id,
        number=number,
        person=buyer,
        guest=guest,
        source_name=source,
        created=second,
        updated=second,
        triggered=at,
        lines=lines,
        shipping=shipping,
        shipping_left=shipping,
        arrival=origin,
        cart_token=f"hWN{random.getrandbits(120):030x}" if web else None,
        checkout_token=f"{random.getrandbits(128):032x}" if web else None,
        currency=currency,
        presentment=presentment,
        rate=rate,
        financial_status="paid",
    )


def _line(random: Random, order_id: int, n: int, product: Product, units: float) -> Line:
    quantity = max(1, round(random.gammavariate(2.0, units / 2)))
    discount = product.price * quantity // 10 if random.random() < 0.15 else 0
    return Line(order_id * 10 + n, product, quantity, quantity, discount)
