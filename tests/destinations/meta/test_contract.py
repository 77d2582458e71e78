"""Meta's Conversions API under the contract of every destination."""

from collections import Counter, deque
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from processors.shopify.orders import Order
from simulator.meta import replies
from simulator.meta.graph import GraphStandIn
from simulator.meta.replies import EventsCall, GraphReply
from tests.contracts.destination import Clock, DestinationContract
from tests.contracts.destination_kit import Trouble
from tests.support.capi_orders import PIXEL, TOKEN, accounts, seen, settings
from tests.support.sender_bench import SECRET

REPLIES = {
    Trouble.UNAVAILABLE: replies.transient(1, status=503),
    Trouble.UNANSWERED: replies.reset(takes=None),
    Trouble.THROTTLED: replies.throttled(1),
    Trouble.REFUSED: replies.token_expired(),
    Trouble.HANGS: replies.slow(60.0),
}


class MetaRig:
    secrets = (TOKEN, SECRET)
    probed = True
    dies_of_refusal_after_ms = 0

    def __init__(self, clock: Clock) -> None:
        self._next: deque[Trouble | None] = deque()
        self._spoilt: set[str] = set()
        self.graph = GraphStandIn(
            self._script, tokens={TOKEN: None}, app_secret=SECRET, clock=lambda: clock() / 1000
        )

    async def __aenter__(self) -> "MetaRig":
        await self.graph.__aenter__()
        (self.account,) = accounts(settings(graph_url=self.graph.url, app_secret=SECRET))
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.graph.__aexit__(None, None, None)

    def _script(self, call: EventsCall) -> GraphReply | None:
        trouble = self._next.popleft() if self._next else None
        if trouble is not None:
            return REPLIES[trouble]
        spoilt = any(event["custom_data"]["order_id"] in self._spoilt for event in call.events)
        return replies.failure(100, subcode=2804009) if spoilt else None

    def troubles(self, *troubles: Trouble | None) -> None:
        self._next.extend(troubles)

    def spoil(self, order_id: str) -> None:
        self._spoilt.add(order_id)

    def order(self, number: int, received_ms: int, **changes: Any) -> Order:
        made = datetime.fromtimestamp(received_ms / 1000, UTC) - timedelta(minutes=1)
        changes = {"order_id": number, "made": made, **changes}
        return seen(received_ms, **changes)

    def vetoed(self, number: int, received_ms: int) -> Order:
        later = datetime.fromtimestamp(received_ms / 1000, UTC) + timedelta(minutes=1)
        cancelled = {"cancelled_at": later.isoformat(), "updated_at": later.isoformat()}
        return self.order(number, received_ms, **cancelled)

    def taken(self) -> Counter[str]:
        return Counter(self.graph.account.kept_ids(PIXEL))

    def requests(self) -> int:
        return self.graph.account.requests

    def contradictions(self) -> object:
        return self.graph.conflicts()


class TestMeta(DestinationContract):
    @pytest.fixture
    async def rig(self, clock: Clock) -> AsyncIterator[MetaRig]:
        async with MetaRig(clock) as rig:
            yield rig
