"""Standard Webhooks under the contract of every destination."""

from collections import Counter
from collections.abc import AsyncIterator

import pytest

from destinations.delivery.account import Account
from simulator.webhook.receiver import WebhookCall, WebhookReceiver, WebhookReply
from tests.contracts.destination import Clock, DestinationContract
from tests.contracts.destination_kit import DAY_MS, ScriptedRig, Trouble
from tests.support.delivery.capi_orders import SHOP
from tests.support.delivery.webhooks import SECRET, settings

REPLIES = {
    Trouble.UNAVAILABLE: WebhookReply(500),
    Trouble.UNANSWERED: WebhookReply(reset=True, takes=True),
    Trouble.THROTTLED: WebhookReply(429, headers={"Retry-After": "60"}),
    Trouble.REFUSED: WebhookReply(410),
    Trouble.HANGS: WebhookReply(delay_s=60.0),
}


class WebhookRig(ScriptedRig[WebhookReply]):
    replies = REPLIES
    secrets = (SECRET, "a-token-in-the-path")
    probed = False
    dies_of_refusal_after_ms = 4 * DAY_MS

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.receiver = WebhookReceiver((SECRET,), self._script, clock=lambda: clock() / 1000)

    @property
    def account(self) -> Account:
        url = f"{self.receiver.url}?key={self.secrets[1]}"
        return Account(SHOP, "warehouse", "webhook", settings(url))

    def _script(self, call: WebhookCall) -> WebhookReply | None:
        spoilt = call.body["data"]["order_id"] in self.spoilt
        return self.reply() or (WebhookReply(400) if spoilt else None)

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
        rig = WebhookRig(clock)
        async with rig.receiver:
            yield rig
