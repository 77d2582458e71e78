"""Standard Webhooks' retry schedule, as a receiver that is down sees it."""

from itertools import pairwise

import pytest

from destinations.delivery.account import Account
from destinations.delivery.sending.sender import OutboxSender
from destinations.delivery.sending.tuning import Tuning
from destinations.delivery.transport import aiohttp_call, client_session
from destinations.webhook.destination import SCHEDULE
from simulator.webhook.receiver import WebhookCall, WebhookReceiver, WebhookReply
from stream.store.sql.store import SqlStore
from tests.contracts.destination import Clock
from tests.contracts.destination_kit import destination_of, processor_of, rows
from tests.support.delivery.capi_orders import NOW_MS, SHOP, seen
from tests.support.delivery.webhooks import SECRET, settings

MINUTE_S, HOUR_S = 60, 3_600
SUGGESTED_S = (
    *(5, 5 * MINUTE_S, 30 * MINUTE_S),
    *(2 * HOUR_S, 5 * HOUR_S, 10 * HOUR_S, 14 * HOUR_S, 20 * HOUR_S, 24 * HOUR_S),
)
"""Waits after the first attempt; the specification's section "Retry schedule":
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md"""


def test_waits_are_those_of_the_specification_less_a_tenth_at_most() -> None:
    tries = range(1, len(SUGGESTED_S) + 1)
    longest = [SCHEDULE.retry_ms(each, 1.0) for each in tries]
    shortest = [SCHEDULE.retry_ms(each, 0.0) for each in tries]
    assert longest == [wait_s * 1_000 for wait_s in SUGGESTED_S]
    assert shortest == [wait_s * 900 for wait_s in SUGGESTED_S]
    assert SCHEDULE.retry_ms(len(SUGGESTED_S) + 1, 1.0) is None


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_a_receiver_that_is_down_is_asked_by_the_schedule_and_then_no_more(
    store: SqlStore,
) -> None:
    clock = Clock(NOW_MS)
    asked_s: list[float] = []

    def down(call: WebhookCall) -> WebhookReply:
        asked_s.append(call.at_s)
        return WebhookReply(500)

    receiver = WebhookReceiver((SECRET,), down, clock=lambda: clock() / 1000)
    async with receiver, client_session() as session:
        account = Account(SHOP, "warehouse", "webhook", settings(receiver.url))
        with store.begin() as transaction:
            processor_of(account).apply(transaction, [seen()], NOW_MS)
        sender = OutboxSender(
            store,
            [destination_of(account)],
            aiohttp_call(session),
            tuning=Tuning(spacing_ms=0, hold_after=100),
            clock_ms=clock,
            steady_ms=clock,
            sleep=clock.sleep,
            chance=lambda: 1.0,
        )
        await sender.drain()
        while (due_ms := rows(store)[0].due_ms) is not None:
            clock.ms = max(clock.ms, due_ms)
            await sender.drain()
    waits = [later - sooner for sooner, later in pairwise(asked_s)]
    assert waits == list(SUGGESTED_S)
    assert [row.outcome for row in rows(store)] == ["dead"]
