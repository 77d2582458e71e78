"""A simulated shop that stands still at a fixed time, and its deliveries."""

from datetime import UTC, datetime, timedelta

from simulator.shop.delivery import Delivery
from simulator.shop.mangle import Mangling, mangled
from simulator.shop.mix import Mix
from simulator.shop.shop import ShopSimulator

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SHOP, SECRET = "demo.myshopify.com", "a shared secret"


def shop(
    seed: int = 1, *, customers: int = 200, currency: str = "USD", mix: Mix | None = None
) -> ShopSimulator:
    return ShopSimulator(seed, SHOP, SECRET, NOW, customers, currency=currency, mix=mix)


def visits(simulator: ShopSimulator, count: int) -> list[Delivery]:
    """Whole visits, so that nothing is told by half."""
    return [
        delivery for n in range(count) for delivery in simulator.visit(NOW + timedelta(seconds=n))
    ]


def mangle(
    deliveries: list[Delivery], seed: int = 1, mangling: Mangling | None = None
) -> list[Delivery]:
    return list(mangled(deliveries, shop=SHOP, secret=SECRET, seed=seed, mangling=mangling))
