"""Asks the API and the receiver's health again and again while faults happen, and counts the
answers."""

import asyncio
from collections import Counter
from types import TracebackType
from typing import Any, Self

import aiohttp

from simulator.chaos.installation import Installation

EVERY_S = 0.5
NO_ANSWER = 0


class Watch:
    """`async with Watch(there) as watch:`; `answers` counts the API's by status."""

    def __init__(self, there: Installation) -> None:
        self._there = there
        domains = [shop.domain for shop in there.shops]
        self._paths = [
            "/v1/status",
            "/readyz",
            *(
                f"/v1/{name}?shop={domain}"
                for domain in domains
                for name in ("rfm", "carts", "budget", "capi")
            ),
        ]
        self.answers: Counter[int] = Counter()
        self.failed: Counter[str] = Counter()
        """Paths that were answered 500."""
        self._http: aiohttp.ClientSession | None = None
        self._asking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._http = self._there.http(timeout_s=20)
        self._asking = asyncio.create_task(self._ask_all())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        if self._http is not None:
            await self._http.close()

    async def _ask_all(self) -> None:
        number = 0
        while True:
            path = self._paths[number % len(self._paths)]
            status, _ = await self.ask(path)
            self.answers[status] += 1
            if status == 500:
                self.failed[path] += 1
            number += 1
            await asyncio.sleep(EVERY_S)

    async def ask(self, path: str) -> tuple[int, Any]:
        """Status, 0 for none, and JSON of one answer."""
        assert self._http is not None
        try:
            async with self._http.get(self._there.api + path) as answer:
                return answer.status, await answer.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return NO_ANSWER, None
