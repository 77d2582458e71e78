"""What both shops send while faults happen, and what each of them heard."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from itertools import takewhile

from simulator.chaos.installation import Installation, Shop
from simulator.shop.delivery import Delivery
from simulator.shop.mangle import PARKED, REFUSED, mangled
from simulator.shop.sender import ShopSender, Traffic
from simulator.shop.shop import ShopSimulator

CUSTOMERS = 300
CONNECTIONS = 16
"""Of each shop. Many wait for a receiver that is stopped."""
RETRY_WAIT_S = (0.1, 0.3, 0.7, *[1.2] * 100_000)
"""Shopify tries for hours; so do these shops."""


def body_id(webhook_id: str, body: bytes) -> bytes:
    """What a delivery is recognised by in the log: its id, and its body byte for byte."""
    return blake2b(body, digest_size=16, key=webhook_id.encode()[:64]).digest()


class ShopTraffic:
    """One shop's deliveries, doubled, late, retried and a few broken, until `end`."""

    def __init__(self, there: Installation, shop: Shop, seed: int, rate: float) -> None:
        """`rate`: deliveries a second."""
        self.shop = shop
        self.acknowledged: set[bytes] = set()
        """By `body_id`."""
        self.answered: Counter[str] = Counter()
        """Webhook id -> how often it was answered 200."""
        self.broken: dict[str, str] = {}
        """Webhook id -> kind, of those that were broken on purpose."""
        self._more = True
        simulator = ShopSimulator(
            seed, shop.domain, shop.secret, there.now, CUSTOMERS, zone=there.zone
        )
        stream = simulator.stream(there.now, rate)
        deliveries = mangled(stream, shop=shop.domain, secret=shop.secret, seed=seed)
        self._sender = ShopSender(
            f"{there.receiver}/webhooks/shopify",
            self._noted(takewhile(lambda _: self._more, deliveries)),
            rate=rate,
            connections=CONNECTIONS,
            retry_wait_s=RETRY_WAIT_S,
            acknowledged=self._heard,
        )
        self._sending = asyncio.create_task(self._sender.run())

    @property
    def traffic(self) -> Traffic:
        """Requests and answers so far."""
        return self._sender.traffic

    async def end(self) -> None:
        """Begin nothing new; return when everything has its final answer."""
        self._more = False
        await self._sending

    async def give_up(self) -> None:
        """End without waiting for answers."""
        self._sending.cancel()
        await asyncio.gather(self._sending, return_exceptions=True)

    def _noted(self, deliveries: Iterator[Delivery]) -> Iterator[Delivery]:
        for delivery in deliveries:
            if delivery.kind in PARKED | REFUSED:
                self.broken[delivery.webhook_id] = delivery.kind
            yield delivery

    def _heard(self, delivery: Delivery) -> None:
        self.answered[delivery.webhook_id] += 1
        self.acknowledged.add(body_id(delivery.webhook_id, delivery.body))
