"""Meta's Conversions API under the contract of every destination."""

from collections import Counter
from collections.abc import AsyncIterator

import pytest

from destinations.delivery.account import Account
from simulator.meta import replies
from simulator.meta.graph import GraphStandIn
from simulator.meta.replies import EventsCall, GraphReply
from tests.contracts.destination import Clock, DestinationContract
from tests.contracts.destination_kit import ScriptedRig, Trouble
from tests.support.delivery.capi_orders import PIXEL, TOKEN, accounts, settings
from tests.support.delivery.sender_bench import SECRET

REPLIES = {
    Trouble.UNAVAILABLE: replies.transient(1, status=503),
    Trouble.UNANSWERED: replies.reset(takes=None),
    Trouble.THROTTLED: replies.throttled(1),
    Trouble.REFUSED: replies.token_expired(),
    Trouble.HANGS: replies.slow(60.0),
}


class MetaRig(ScriptedRig[GraphReply]):
    replies = REPLIES
    secrets = (TOKEN, SECRET)
    probed = True
    dies_of_refusal_after_ms = 0

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.graph = GraphStandIn(
            self._script, tokens={TOKEN: None}, app_secret=SECRET, clock=lambda: clock() / 1000
        )

    @property
    def account(self) -> Account:
        (account,) = accounts(settings(graph_url=self.graph.url, app_secret=SECRET))
        return account

    def _script(self, call: EventsCall) -> GraphReply | None:
        spoilt = any(event["custom_data"]["order_id"] in self.spoilt for event in call.events)
        return self.reply() or (replies.failure(100, subcode=2804009) if spoilt else None)

    def taken(self) -> Counter[str]:
        return Counter(self.graph.account.kept_ids(PIXEL))

    def requests(self) -> int:
        return self.graph.account.requests

    def contradictions(self) -> object:
        return self.graph.conflicts()


class TestMeta(DestinationContract):
    @pytest.fixture
    async def rig(self, clock: Clock) -> AsyncIterator[MetaRig]:
        rig = MetaRig(clock)
        async with rig.graph:
            yield rig
