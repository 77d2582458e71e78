"""Decides when an account's failing requests are a reason to back off, and to say so."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from destinations.delivery.accounts import failing
from destinations.delivery.backoff import again_ms
from destinations.delivery.sending.lane import Lane
from destinations.delivery.sending.tuning import Tuning
from destinations.delivery.sending.writing import StoreWriting
from stream.store.contract import StoreUnavailable

MINUTE_MS = 60_000
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class LaneHealth:
    """Judges a lane after each of its requests."""

    tuning: Tuning
    writing: StoreWriting
    clock_ms: Callable[[], int]
    steady_ms: Callable[[], int]
    chance: Callable[[], float]

    async def judge(self, lane: Lane, failed: str, began_ms: int) -> None:
        """Back off if requests fail one after the other, and record since when.

        `failed` says why the last one did; "" if it succeeded.
        """
        steady_ms = self.steady_ms()
        lane.failures = lane.failures + 1 if failed else 0
        if lane.failures == 1:
            lane.failing_since_ms, lane.first_failed_ms = self.clock_ms(), began_ms
        if lane.failures >= self.tuning.hold_after:
            hold_ms = again_ms(lane.failures - self.tuning.hold_after + 1, self.chance())
            lane.backs_off_until_ms = steady_ms + min(hold_ms, self.tuning.hold_cap_ms)
        lasts = failed != "" and steady_ms - lane.first_failed_ms >= self.tuning.failing_ms
        fails = lasts or lane.failures >= self.tuning.hold_after
        if fails and steady_ms >= (lane.log_failure_ms or steady_ms):
            lane.log_failure_ms = steady_ms + MINUTE_MS
            log.warning("requests fail", **lane.names, cause=failed, failures=lane.failures)
        if (failed and not fails) or fails == (lane.account.failing_since_ms is not None):
            return
        since_ms = lane.failing_since_ms if fails else None
        place = (lane.destination.shop, lane.destination.name)
        try:
            lane.account = await self.writing.write(
                lambda transaction: failing(transaction, *place, since_ms, failed)
            )
        except StoreUnavailable as error:
            log.warning("store unavailable to the sender", detail=str(error))
            return
        if not fails:
            lane.log_failure_ms = None
            log.info("requests work again", **lane.names)
