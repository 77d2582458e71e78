"""Traffic that goes on beside a test, while things are taken away."""

import asyncio
from collections.abc import Iterator
from itertools import takewhile
from types import TracebackType
from typing import Self

from simulator.shop.delivery import Delivery
from simulator.shop.mangle import mangled
from tests.system.harness import SECRET, SHOP, System
from tests.system.traffic import Sent

VISITS_PER_S = 50.0
"""In the shop's own time."""


def traffic(system: System, seed: int = 1) -> Iterator[Delivery]:
    """The simulated shop's deliveries without end: doubled, late, retried and a few broken."""
    return mangled(
        system.shop(seed).stream(system.now, VISITS_PER_S), shop=SHOP, secret=SECRET, seed=seed
    )


class Load:
    """Deliveries at a rate, until `end`. As a context it leaves nothing running behind a test that
    failed."""

    def __init__(self, system: System, rate: float, *, seed: int = 1, connections: int = 8) -> None:
        self._more = True
        deliveries = takewhile(lambda _: self._more, traffic(system, seed))
        self._sending = asyncio.create_task(
            system.send(deliveries, rate=rate, connections=connections)
        )

    async def end(self) -> Sent:
        """Begin nothing new; what was sent once is sent until it is answered."""
        self._more = False
        return await self._sending

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._sending.cancel()
        await asyncio.gather(self._sending, return_exceptions=True)
