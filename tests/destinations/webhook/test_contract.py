"""Standard Webhooks under the contract of every destination."""

from collections import Counter, deque
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from destinations.delivery.account import Account
from processors.shopify.orders import Order
from simulator.webhook.receiver import WebhookCall, WebhookReceiver, WebhookReply
from tests.contracts.destination import Clock, DestinationContract
from tests.contracts.destination_kit import DAY_MS, Trouble
from tests.support.capi_orders import SHOP, seen
from tests.support.webhooks import SECRET, settings

REPLIES = {
    Trouble.UNAVAILABLE: WebhookReply(500),
    Trouble.UNANSWERED: WebhookReply(reset=True, takes=True),
    Trouble.THROTTLED: WebhookReply(429, {"Retry-After": "60"}),
    Trouble.REFUSED: WebhookReply(410),
    Trouble.HANGS: WebhookReply(delay_s=60.0),
}


class WebhookRig:
    secrets = (SECRET, "a-token-in-the-path")
    probed = False
    dies_of_refusal_after_ms = 4 * DAY_MS

    def __init__(self, clock: Clock) -> None:
        self._next: deque[Trouble | None] = deque()
        self._spoilt: set[str] = set()
        self.receiver = WebhookReceiver((SECRET,), self._script, clock=lambda: clock() / 1000)

    async def __aenter__(self) -> "WebhookRig":
        await self.receiver.__aenter__()
        url = f"{self.receiver.url}?key={self.secrets[1]}"
        self.account = Account(SHOP, "warehouse", "webhook", settings(url))
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.receiver.__aexit__(None, None, None)

    def _script(self, call: WebhookCall) -> WebhookReply | None:
        trouble = self._next.popleft() if self._next else None
        if trouble is not None:
            return REPLIES[trouble]
        return WebhookReply(400) if call.body["data"]["order_id"] in self._spoilt else None

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
        """Of `order.paid` only: an order that is cancelled makes another event."""
        return Counter(
            {
                event.body["data"]["order_id"]: event.times
                for event in self.receiver.events.values()
                if event.body["type"] == "order.paid"
            }
        )

    def requests(self) -> int:
        return self.receiver.requests

    def contradictions(self) -> object:
        return self.receiver.conflicts


class TestWebhook(DestinationContract):
    @pytest.fixture
    async def rig(self, clock: Clock) -> AsyncIterator[WebhookRig]:
        async with WebhookRig(clock) as rig:
            yield rig
