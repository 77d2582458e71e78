"""Claims a batch of one account's due rows and sends it, if the account may be sent to now."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from destinations.delivery.accounts import RULE, guarded, refused_for, take_probe
from destinations.delivery.ledger import claim
from destinations.delivery.rows import OutboxRow
from destinations.delivery.sending.dispatch import Dispatch
from destinations.delivery.sending.health import LaneHealth
from destinations.delivery.sending.lane import Lane
from destinations.delivery.sending.refusals import Refusals
from destinations.delivery.sending.requesting import Requests
from destinations.delivery.sending.tuning import Tuning
from destinations.delivery.sending.writing import StoreWriting
from destinations.delivery.transport import Call
from stream.metrics import DeliveryMetrics
from stream.store.contract import StoreUnavailable, Transaction
from stream.tracing import Tracer

ROW_MS = 2
"""The next claim of an account begins so long after one for each row that it got, or as long as it
took for each where that is longer; at most `spacing_ms`. Up to 500 events a second, none waits for
another; above that rows gather into batches."""
log = structlog.get_logger()


class Batches:
    """What one sender does for a lane, one batch at a time."""

    def __init__(
        self,
        dialect: str,
        writing: StoreWriting,
        tuning: Tuning,
        call: Call,
        public_call: Call,
        *,
        metrics: DeliveryMetrics | None,
        tracer: Tracer | None,
        clock_ms: Callable[[], int],
        steady_ms: Callable[[], int],
        sleep: Callable[[float], Awaitable[None]],
        chance: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self._dialect, self._writing, self._tuning = dialect, writing, tuning
        self._call, self._public_call = call, public_call
        self._metrics, self._tracer = metrics, tracer
        self._clock_ms, self._steady_ms, self._sleep = clock_ms, steady_ms, sleep
        self._chance, self._new_id = chance, new_id
        self._health = LaneHealth(tuning, writing, clock_ms, steady_ms, chance)
        self.live: set[str] = set()
        """Claims that this process is sending."""
        self.claimed = 0
        """Batches so far."""

    async def next(self, lane: Lane) -> bool:
        """Claim a batch and start its dispatch. False if nothing can be claimed or sent now."""
        steady_ms = self._steady_ms()
        if lane.next_claim_ms is not None and lane.next_claim_ms > steady_ms:
            await self._sleep((lane.next_claim_ms - steady_ms) / 1000)
            steady_ms = self._steady_ms()
        now_ms = self._clock_ms()
        destination = lane.destination
        place = (destination.shop, destination.name)
        if destination.may_hold:
            lane.account = await self._writing.write(
                lambda transaction: guarded(transaction, destination, now_ms)
            )
        backing_off = lane.backs_off_until_ms is not None and steady_ms < lane.backs_off_until_ms
        if backing_off or now_ms < lane.account.throttled_until_ms:
            return False
        limit, probe = lane.limits.events, False
        if lane.account.paused_since_ms is not None:
            next_probe_ms = lane.account.next_probe_ms
            if lane.account.paused_by == RULE or next_probe_ms is None or now_ms < next_probe_ms:
                return False
            if not await self._writing.write(
                lambda transaction: take_probe(transaction, *place, now_ms)
            ):
                return False
            lane.account = lane.account._replace(next_probe_ms=now_ms + 1)
            limit, probe = 1, True
        claim_id, lease_ms = self._new_id(), self._tuning.lease_ms

        def timed(transaction: Transaction) -> tuple[list[OutboxRow], int, int]:
            began_ms = self._steady_ms()  # Now, not while another transaction had to be waited for.
            found = claim(
                transaction, self._dialect, *place, claim_id, now_ms, lease_ms, limit, probe=probe
            )
            return found, began_ms, self._steady_ms() - began_ms

        rows, began_ms, took_ms = await self._writing.write(timed)
        apart_ms = min(lane.limits.spacing_ms, len(rows) * max(ROW_MS, took_ms))
        lane.next_claim_ms = began_ms + apart_ms
        if not rows:
            return False
        self.claimed += 1
        lane.in_flight += len(rows)
        lane.emptied = not probe and len(rows) < limit
        dispatch = Dispatch(
            destination=destination,
            dialect=self._dialect,
            claim_id=claim_id,
            give_up_ms=steady_ms + self._tuning.lease_ms // 2,
            requests=Requests(
                destination,
                self._public_call if destination.public_only else self._call,
                lane.limits.timeout_s,
                self._clock_ms,
                self._steady_ms,
                self._metrics,
                self._tracer,
            ),
            writing=self._writing,
            clock_ms=self._clock_ms,
            steady_ms=self._steady_ms,
            chance=self._chance,
            paused=lane.account.paused_since_ms is not None,
            refusals=Refusals(refused_for(lane.account), bool(lane.account.refused_cause)),
        )
        self.live.add(claim_id)
        task = asyncio.create_task(self._deliver(lane, dispatch, rows))
        lane.tasks.add(task)
        task.add_done_callback(lambda done: self._done(lane, done, claim_id, len(rows)))
        if probe:
            await asyncio.wait([task])
        return True

    async def _deliver(self, lane: Lane, dispatch: Dispatch, rows: list[OutboxRow]) -> None:
        began_ms = self._steady_ms()
        try:
            await dispatch.run(rows)
        except StoreUnavailable as error:
            log.error("results lost", **lane.names, rows=len(rows), detail=str(error))
        except Exception as error:
            # A bug of ours. Its text may quote a row, so only its type is logged; the rows come
            # back with their lease.
            log.error("dispatch broke", **lane.names, rows=len(rows), error=type(error).__name__)
            dispatch.failed = f"our own failure, {type(error).__name__}"
        if dispatch.account is not None:
            lane.account = dispatch.account
        await self._health.judge(lane, dispatch.failed, began_ms)

    def _done(self, lane: Lane, task: asyncio.Task[None], claim_id: str, events: int) -> None:
        self.live.discard(claim_id)
        lane.tasks.discard(task)
        lane.in_flight -= events
        lane.slots.release()
