"""What every destination must do (`destinations/delivery/protocol.py`), against a stand-in over
HTTP.

A destination's test file subclasses `DestinationContract` and supplies the fixture `rig`
(`destination_kit.Rig`): an account, its stand-in, and orders of which each makes one event.
"""

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from msgspec import to_builtins

from destinations.delivery.answer import ShownAccount, account, order, retry
from destinations.delivery.ledger import end_leases, expire, forget_orders
from destinations.delivery.life import FULL_MS, OLDEST_MS
from destinations.delivery.results import parsed
from destinations.delivery.schema import Retried
from destinations.delivery.sending.sender import OutboxSender
from destinations.delivery.sending.tuning import Tuning
from destinations.delivery.transport import aiohttp_call, client_session
from destinations.registry import KINDS
from stream.store.sql.store import SqlStore
from tests.contracts.destination_kit import (
    DAY_MS,
    HOUR_MS,
    Rig,
    Trouble,
    assert_cells_are_the_sum_over_rows,
    destination_of,
    processor_of,
    rows,
)
from tests.support.servers.forks import Forked

PATIENCE_S = 60.0
LOST_AND_SENT = ["lost", "sent"]
SENDER = "from tests.support.delivery import sending_child\nsending_child.main()"


class Clock:
    """Time that only sleeping, or a test, moves."""

    def __init__(self, ms: int) -> None:
        self.ms = ms

    def __call__(self) -> int:
        return self.ms

    async def sleep(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)


class DestinationContract:
    @pytest.fixture
    def clock(self) -> Clock:
        """What the sender and the stand-in go by."""
        return Clock(time.time_ns() // 1_000_000)

    @pytest.fixture
    def rig(self, clock: Clock) -> Any:
        raise NotImplementedError("supplied by the destination's tests")

    @pytest.fixture
    async def session(self) -> AsyncIterator[aiohttp.ClientSession]:
        async with client_session() as opened:
            yield opened

    @pytest.fixture
    def sender(
        self, store: SqlStore, rig: Rig, clock: Clock, session: aiohttp.ClientSession
    ) -> OutboxSender:
        return self.another(store, rig, clock, session)

    def another(
        self, store: SqlStore, rig: Rig, clock: Clock, session: aiohttp.ClientSession
    ) -> OutboxSender:
        """A sender as another process would have it."""
        return OutboxSender(
            store,
            [destination_of(rig.account)],
            aiohttp_call(session),
            tuning=Tuning(spacing_ms=0),
            clock_ms=clock,
            steady_ms=clock,
            sleep=clock.sleep,
            chance=lambda: 0.5,
        )

    def fold(self, store: SqlStore, rig: Rig, now_ms: int, *orders: Any) -> None:
        with store.begin() as transaction:
            processor_of(rig.account).apply(transaction, orders, now_ms)

    def outcomes(self, store: SqlStore) -> dict[str, str]:
        return {row.order_id: row.outcome for row in rows(store)}

    def state(self, store: SqlStore, rig: Rig, now_ms: int) -> dict[str, Any]:
        with store.snapshot() as snapshot:
            answer: dict[str, Any] = to_builtins(account(snapshot, self.shown(rig), now_ms))
            return answer

    def shown(self, rig: Rig) -> ShownAccount:
        of = rig.account
        kind = KINDS[of.kind]
        return ShownAccount(of.shop, of.name, kind, kind.account_id(of.settings), 0)

    async def test_each_order_is_sent_once_whatever_is_delivered_of_it(
        self, store: SqlStore, rig: Rig, clock: Clock, sender: OutboxSender
    ) -> None:
        orders = [rig.order(number, clock.ms) for number in range(1, 13)]
        self.fold(store, rig, clock.ms, *orders, *orders)
        await sender.drain()
        self.fold(store, rig, clock.ms, *orders)
        await sender.drain()
        assert rig.taken() == {str(number): 1 for number in range(1, 13)}
        assert set(self.outcomes(store).values()) == {"sent"}
        assert all(row.payload == b"" and row.due_ms is None for row in rows(store))
        assert not rig.contradictions()
        assert_cells_are_the_sum_over_rows(store)

    async def test_a_failure_is_tried_again_after_a_while_with_the_same_payload(
        self, store: SqlStore, rig: Rig, clock: Clock, sender: OutboxSender
    ) -> None:
        rig.troubles(Trouble.UNAVAILABLE)
        self.fold(store, rig, clock.ms, rig.order(1, clock.ms))
        await sender.drain()
        (row,) = rows(store)
        assert row.outcome == "pending"
        assert row.due_ms is not None
        assert row.due_ms > clock.ms
        clock.ms = row.due_ms
        await sender.drain()
        assert rig.taken() == {"1": 1}
        assert not rig.contradictions()

    async def test_an_event_that_may_have_been_taken_goes_again_under_the_same_id(
        self, store: SqlStore, rig: Rig, clock: Clock, sender: OutboxSender
    ) -> None:
        rig.troubles(Trouble.UNANSWERED)
        self.fold(store, rig, clock.ms, rig.order(1, clock.ms))
        await sender.drain()
        (row,) = rows(store)
        assert (row.outcome, row.ambiguous_ms is None) == ("maybe_accepted", False)
        clock.ms = row.due_ms or 0
        await sender.drain()
        assert self.outcomes(store) == {"1": "sent"}
        assert rig.taken() == {"1": 2}
        assert not rig.contradictions()
        assert [attempt["class"] for attempt in parsed(rows(store)[0].attempts)] == [
            "ambiguous",
            "sent",
        ]
        assert_cells_are_the_sum_over_rows(store)

    async def test_what_may_have_been_taken_is_not_repeated_once_a_repeat_is_not_recognised(
        self, store: SqlStore, rig: Rig, clock: Clock, sender: OutboxSender
    ) -> None:
        repeat_ms = destination_of(rig.account).repeat_ms
        rig.troubles(Trouble.UNANSWERED)
        self.fold(store, rig, clock.ms, rig.order(1, clock.ms))
        expires_ms = rows(store)[0].expires_ms or 0
        first_ms = clock.ms
        await sender.drain()
        last_ms = expires_ms if repeat_ms is None else min(expires_ms, first_ms + repeat_ms)
        clock.ms = last_ms
        await sender.drain()
        with store.begin() as transaction:
            expire(transaction, clock.ms)
        assert self.outcomes(store) == {"1": "expired"}
        assert rig.taken() == {"1": 1}

    async def test_events_of_a_killed_sender_are_sent_by_another_under_the_same_ids(
        self,
        store: SqlStore,
        store_url: str,
        rig: Rig,
        clock: Clock,
        session: aiohttp.ClientSession,
        tmp_path: Path,
    ) -> None:
        rig.troubles(Trouble.HANGS)
        self.fold(store, rig, clock.ms, rig.order(1, clock.ms))
        of = rig.account
        found = {"shop": of.shop, "name": of.name, "kind": of.kind, "settings": asdict(of.settings)}
        given = [store_url, json.dumps(found, default=str)]
        child = await asyncio.to_thread(
            Forked, given, os.environ, tmp_path, tmp_path / "sender.log", script=SENDER
        )
        async with asyncio.timeout(PATIENCE_S):
            while not rig.requests():
                assert child.poll() is None, child.said()
                await asyncio.sleep(0.02)
        await asyncio.to_thread(child.kill)
        assert self.outcomes(store) == {"1": "sending"}
        clock.ms = time.time_ns() // 1_000_000
        with store.begin() as transaction:
            end_leases(transaction, clock.ms)
        await self.another(store, rig, clock, session).drain()
        assert self.outcomes(store) == {"1": "sent"}
        assert [attempt["class"] for attempt in parsed(rows(store)[0].attempts)] == LOST_AND_SENT
        assert rig.taken()["1"] >= 1
        assert not rig.contradictions()
        assert_cells_are_the_sum_over_rows(store)

    async def test_a_throttle_makes_every_sender_wait_as_long_as_the_answer_says(
        self,
        store: SqlStore,
        rig: Rig,
        clock: Clock,
        sender: OutboxSender,
        session: aiohttp.ClientSession,
    ) -> None:
        rig.troubles(Trouble.THROTTLED)
        self.fold(store, rig, clock.ms, rig.order(1, clock.ms))
        await sender.drain()
        assert self.state(store, rig, clock.ms)["state"] == "throttled"
        self.fold(store, rig, clock.ms, rig.order(2, clock.ms))
        clock.ms += 59_000
        await self.another(store, rig, clock, session).drain()
        assert rig.requests() == 1
        clock.ms += 1_000
        await self.another(store, rig, clock, session).drain()
        assert rig.taken() == {"1": 1, "2": 1}
        assert self.state(store, rig, clock.ms)["state"] == "sending"

    async def test_a_bad_event_holds_up_no_other_and_is_dead_in_the_end(
        self, store: SqlStore, rig: Rig, clock: Clock, sender: OutboxSender
    ) -> None:
        rig.spoil("5")
        orders = [rig.order(number, clock.ms) for number in range(1, 13)]
        self.fold(store, rig, clock.ms, *orders)
        until_ms = clock.ms + rig.dies_of_refusal_after_ms
        await sender.drain()
        good = {str(number): 1 for number in range(1, 13) if number != 5}
        assert rig.taken() == good
        while clock.ms < until_ms and self.outcomes(store)["5"] == "pending":
            clock.ms = max(clock.ms + 1, next(row.due_ms or 0 for row in rows(store) if row.due_ms))
            await sender.drain()
        assert self.outcomes(store) == {**dict.fromkeys(good, "sent"), "5": "dead"}
        with store.snapshot() as snapshot:
            found = order(snapshot, self.shown(rig), "5")
        assert found is not None
        assert found.reason
        assert rig.taken() == good
        assert_cells_are_the_sum_over_rows(store)

    @pytest.mark.parametrize("when", ["before", "while it is sent", "after a failure"])
    async def test_a_later_delivery_forbids_what_was_not_taken_yet(
        self, store: SqlStore, rig: Rig, clock: Clock, sender: OutboxSender, when: str
    ) -> None:
        self.fold(store, rig, clock.ms, rig.order(1, clock.ms))
        veto = rig.vetoed(1, clock.ms)
        if when == "while it is sent":
            rig.troubles(Trouble.UNAVAILABLE)
            call = self.folding(store, rig, clock, veto)
            async with client_session() as session:
                await OutboxSender(
                    store,
                    [destination_of(rig.account)],
                    call(aiohttp_call(session)),
                    clock_ms=clock,
                    steady_ms=clock,
                    sleep=clock.sleep,
                ).drain()
        else:
            if when == "after a failure":
                rig.troubles(Trouble.UNAVAILABLE)
                await sender.drain()
            self.fold(store, rig, clock.ms, veto)
        clock.ms += 3 * DAY_MS
        await sender.drain()
        assert rig.taken()["1"] == 0
        forbidden = next(row for row in rows(store) if row.outcome == "skipped")
        assert (forbidden.order_id, forbidden.payload) == ("1", b"")
        assert forbidden.reason
        assert_cells_are_the_sum_over_rows(store)

    def folding(self, store: SqlStore, rig: Rig, clock: Clock, veto: Any) -> Any:
        """Wraps a way to the vendor: a delivery is folded while the request is on its way."""

        def wrap(call: Any) -> Any:
            async def calling(*arguments: Any, timeout_s: float) -> Any:
                await asyncio.to_thread(self.fold, store, rig, clock.ms, veto)
                return await call(*arguments, timeout_s)

            return calling

        return wrap

    async def test_nothing_is_sent_once_it_is_too_late_and_that_shows(
        self, store: SqlStore, rig: Rig, clock: Clock, sender: OutboxSender
    ) -> None:
        received_ms = clock.ms
        self.fold(store, rig, clock.ms, rig.order(1, clock.ms))
        (row,) = rows(store)
        assert row.expires_ms is not None
        assert row.expires_ms <= received_ms + FULL_MS
        clock.ms = row.expires_ms
        await sender.drain()
        with store.begin() as transaction:
            expire(transaction, clock.ms)
        (row,) = rows(store)
        assert (row.outcome, row.payload, rig.requests()) == ("expired", b"", 0)
        assert row.reason
        assert_cells_are_the_sum_over_rows(store)

    async def test_an_order_that_no_destination_takes_any_more_is_never_sent(
        self, store: SqlStore, rig: Rig, clock: Clock, sender: OutboxSender
    ) -> None:
        made_ms = clock.ms - OLDEST_MS - HOUR_MS
        old = rig.order(1, made_ms)
        later = rig.order(1, clock.ms, **json.loads(old.body))
        self.fold(store, rig, clock.ms, later)
        await sender.drain()
        assert (self.outcomes(store), rig.requests()) == ({"1": "too_old"}, 0)

    async def test_an_account_that_is_refused_pauses_and_goes_on_when_it_works_again(
        self, store: SqlStore, rig: Rig, clock: Clock, sender: OutboxSender
    ) -> None:
        rig.troubles(Trouble.REFUSED)
        self.fold(store, rig, clock.ms, rig.order(1, clock.ms))
        with structlog.testing.capture_logs() as logs:
            await sender.drain()
        self.fold(store, rig, clock.ms, *(rig.order(number, clock.ms) for number in range(2, 6)))
        await sender.drain()
        found = self.state(store, rig, clock.ms)
        assert (found["state"], rig.requests()) == ("paused", 1)
        assert found["paused"]["message"]
        assert set(self.outcomes(store).values()) == {"pending"}
        assert not [secret for secret in rig.secrets if secret in json.dumps([found, logs])]
        assert (found["paused"]["next_probe_at"] is not None) == rig.probed
        clock.ms += 15_000
        if not rig.probed:
            await sender.drain()
            assert rig.requests() == 1
            with store.begin() as transaction:
                asked = retry(transaction, rig.account.shop, rig.account.name, clock.ms)
            assert asked == Retried(probed=1)
        await sender.drain()
        assert rig.taken() == {str(number): 1 for number in range(1, 6)}
        assert self.state(store, rig, clock.ms)["state"] == "sending"

    async def test_requests_that_fail_again_and_again_show_as_failing_until_one_works(
        self, store: SqlStore, rig: Rig, clock: Clock, sender: OutboxSender
    ) -> None:
        rig.troubles(*[Trouble.UNAVAILABLE] * 3)
        self.fold(store, rig, clock.ms, rig.order(1, clock.ms))
        since_ms = clock.ms
        for _ in range(3):
            await sender.drain()
            clock.ms = max(clock.ms, *(row.due_ms or 0 for row in rows(store)))
        found = self.state(store, rig, clock.ms)
        assert found["state"] == "failing"
        assert found["failing"]["cause"]
        assert found["failing"]["since"] is not None
        assert since_ms <= clock.ms
        clock.ms += 30_000
        await sender.drain()
        assert self.state(store, rig, clock.ms)["state"] == "sending"
        assert rig.taken() == {"1": 1}

    async def test_two_concurrent_senders_share_the_work_and_send_nothing_twice(
        self, store: SqlStore, rig: Rig, clock: Clock, session: aiohttp.ClientSession
    ) -> None:
        orders = [rig.order(number, clock.ms) for number in range(1, 61)]
        self.fold(store, rig, clock.ms, *orders)
        senders = [self.another(store, rig, clock, session) for _ in range(2)]
        await asyncio.gather(*(each.drain() for each in senders))
        assert rig.taken() == Counter({str(number): 1 for number in range(1, 61)})
        assert set(self.outcomes(store).values()) == {"sent"}
        assert_cells_are_the_sum_over_rows(store)

    async def test_a_redacted_buyers_event_is_not_sent_and_leaves_nothing_behind(
        self, store: SqlStore, rig: Rig, clock: Clock, sender: OutboxSender
    ) -> None:
        self.fold(store, rig, clock.ms, rig.order(1, clock.ms), rig.order(2, clock.ms))
        with store.begin() as transaction:
            forget_orders(transaction, rig.account.shop, ["2"])
        await sender.drain()
        assert rig.taken() == {"1": 1}
        assert self.outcomes(store) == {"1": "sent", "2": "expired"}
        assert not any(row.payload for row in rows(store))

    async def test_no_secret_shows_where_an_account_is_shown(
        self, store: SqlStore, rig: Rig, clock: Clock, sender: OutboxSender
    ) -> None:
        rig.troubles(Trouble.UNAVAILABLE)
        self.fold(store, rig, clock.ms, rig.order(1, clock.ms))
        with structlog.testing.capture_logs() as logs:
            await sender.drain()
        with store.snapshot() as snapshot:
            found = to_builtins(order(snapshot, self.shown(rig), "1"))
        seen = json.dumps([self.state(store, rig, clock.ms), found, logs, repr(rig.account)])
        assert not [secret for secret in rig.secrets if secret in seen]
