"""A stand-in for Tally's API: refuses what the real one would, and keeps the sales."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web

from simulator.servers.stand_in import ScriptedReply, StandIn, answered, until_stopped

Script = Callable[[Any], ScriptedReply | None]


class TallyStandIn(StandIn):
    """The stand-in while its context is open. A script gets the sale."""

    def __init__(self, token: str, script: Script, port: int = 0) -> None:
        super().__init__(port=port)
        self._token, self._script = token, script
        self.requests = 0
        self.taken = Counter[str]()
        self.totals: dict[str, set[str]] = {}
        """What each id was sent with, whatever was answered."""

    def routes(self) -> Sequence[web.RouteDef]:
        return [web.post("/sales", self._sale)]

    async def _sale(self, request: web.Request) -> web.Response:
        sale = await request.json()
        self.requests += 1
        self.totals.setdefault(sale["id"], set()).add(sale["total"]["amount"])
        reply = self._script(sale) or ScriptedReply()
        await asyncio.sleep(reply.delay_s)
        if reply.final and not reply.reset:
            return answered(request, reply)
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            return web.Response(status=401)
        self.taken[sale["id"]] += 1
        return answered(request, reply) if reply.reset else web.Response(status=201)


if __name__ == "__main__":
    asyncio.run(until_stopped(TallyStandIn("a-token-of-tally", lambda sale: None, port=8099)))
