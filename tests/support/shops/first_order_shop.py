"""A simulated shop whose customers' true later value follows from their first order."""

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
from msgspec.structs import replace

from processors.orders.row import OrderDetail, OrderLine, encoded
from processors.shopify.orders import Order
from tests.support.shopify.orders import DAY0, order

HORIZON_DAYS = 90
GERMAN, TILL = 2.0, 0.4
"""How much more customers in DE, and less those of the till, bring later."""


@dataclass(frozen=True)
class Simulated:
    """A customer: the order that came first, and what later ones bring on average (minor units)."""

    customer: str
    first: Order
    later: tuple[Order, ...]
    true_later: float


def simulated_shop(
    seed: int, customers: int, *, days: int = 200, slope: float = 0.6
) -> list[Simulated]:
    """Later orders: a negative binomial count within the horizon, of mixed values.

    Their mean grows with the first order's value to the power of `slope`.
    """
    rng = np.random.default_rng(seed)
    countries, sources = (np.cumsum(shares).tolist() for shares in ((0.6, 0.2, 0.2), (0.8, 0.2)))
    found = []
    for number in range(customers):
        value = int(np.exp(rng.normal(8.3, 1.0))) + 100
        country = ("US", "DE", "FR")[bisect_right(countries, rng.random())]
        source = ("web", "pos")[bisect_right(sources, rng.random())]
        mean = 2_000 * (value / 4_000) ** slope
        mean *= (GERMAN if country == "DE" else 1.0) * (TILL if source == "pos" else 1.0)
        customer, day = f"{9_000_000 + 7_919 * number}", int(rng.integers(0, days))
        count = int(rng.poisson(0.6 * rng.gamma(1.0, 1.0)))
        after = sorted(int(each) for each in rng.integers(1, HORIZON_DAYS, count))
        values = (rng.gamma(2.0, 0.5, count) * mean / 0.6).astype(int) + 1
        found.append(
            Simulated(
                customer,
                answer(f"{number}-0", customer, day, value, country, source),
                tuple(
                    answer(f"{number}-{n + 1}", customer, day + gap, int(each), country, source)
                    for n, (gap, each) in enumerate(zip(after, values, strict=True))
                ),
                mean,
            )
        )
    return found


def answer(
    order_id: str, customer: str, day: int, value: int, country: str = "US", source: str = "web"
) -> Order:
    """An order with the facts that the model reads."""
    detail = OrderDetail(subtotal=value, discount=0, lines=(OrderLine("1", "1", "", 1, 1, value),))
    return replace(
        order(order_id, customer=customer, day=DAY0 + day, total=value),
        source_name=source,
        country=country,
        detail=encoded(detail),
    )


def all_orders(shop: list[Simulated]) -> list[Order]:
    """Every order of the shop, by day."""
    orders = [each for one in shop for each in (one.first, *one.later)]
    return sorted(orders, key=lambda each: (each.day, each.order_id))
