"""What becomes of one claim: send it, and do with the answer what `errors` says, until every row of it is settled.

A batch that Meta refuses for one of its events is halved, with the same event ids, until the bad ones are alone. One that Meta took in
part is halved too: which part is not known, so its rows count as maybe accepted meanwhile. Where the lane must stop (throttle, pause,
failure), and where half of the lease is over, what is left goes back to waiting.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import structlog

from destinations.delivery import accounts
from destinations.delivery.backoff import throttle_ms
from destinations.delivery.ledger import ClaimLost, settle, settle_sent
from destinations.delivery.results import (
    Attempt,
    appended,
    attempt,
    dead,
    failed,
    sent,
    waiting,
    without_fbc,
)
from destinations.delivery.rows import OutboxRow, PixelRow
from destinations.delivery.transport import Call, NoAnswer, NotSent
from destinations.delivery.verdict import ErrorClass
from destinations.meta.errors import Action, GraphVerdict, classify
from destinations.meta.graph import events_body, events_url, headers
from destinations.meta.settings import CapiSettings
from stream.metrics import CapiMetrics
from stream.store.contract import Transaction

T = TypeVar("T")
Rows = Sequence[OutboxRow]
log = structlog.get_logger()


class Write(Protocol):
    """Do `work` in a transaction of its own."""

    def __call__(self, work: Callable[[Transaction], T]) -> Awaitable[T]: ...


@dataclass(slots=True)
class Delivery:
    """One claim on its way."""

    settings: CapiSettings
    dialect: str
    claim_id: str
    give_up_ms: int
    """When half of the lease is over: no request starts after it."""
    timeout_s: float
    call: Call
    write: Write
    clock_ms: Callable[[], int]
    chance: Callable[[], float]
    metrics: CapiMetrics | None
    paused: bool
    """The claim is a probe of a paused pixel."""
    pixel: PixelRow | None = None
    """The pixel's state, where this delivery changed it."""
    failed: bool = False
    """The last request failed in a way that says something about Meta's end, not about a row."""

    async def run(self, rows: Rows) -> None:
        """Send `rows`, as claimed, and settle every one. Raises StoreUnavailable."""
        stack: list[Rows] = [rows]
        fresh = True
        while stack:
            batch = stack.pop()
            if self.clock_ms() >= self.give_up_ms:
                await self._release(
                    [*batch, *(row for rest in stack for row in rest)], self.clock_ms()
                )
                return
            verdict, made = await self._send(batch)
            if verdict.action is Action.DONE and verdict.received < len(batch):
                batch, verdict = _in_part(batch, verdict, made)
            if verdict.action is Action.DONE:
                await self._sent(batch, made, whole=fresh)
            elif verdict.action in (Action.BISECT, Action.STRIP_FBC):
                stack += await self._refused(batch, verdict, made)
            else:
                await self._stop(batch, verdict, made, [row for rest in stack for row in rest])
                return
            fresh = False

    async def _send(self, batch: Rows) -> tuple[GraphVerdict, Attempt]:
        body = events_body(self.settings, [row.payload for row in batch])
        at_ms = self.clock_ms()
        try:
            answer = await self.call(
                "POST", events_url(self.settings), headers(self.settings), body, self.timeout_s
            )
            verdict = classify(answer.status, answer.headers, answer.body)
        except NotSent:
            verdict = GraphVerdict(ErrorClass.TRANSIENT, Action.RETRY)
        except NoAnswer:
            verdict = classify(None, {}, b"")
        made = attempt(verdict, at_ms, max(self.clock_ms() - at_ms, 0))
        if self.metrics is not None:
            self.metrics.requested(made.kind, len(batch), made.duration_ms / 1000)
            if verdict.action is Action.DONE and verdict.received >= len(batch):
                self.metrics.delivered([(at_ms - row.received_ms) / 1000 for row in batch])
        return verdict, made

    async def _sent(self, batch: Rows, made: Attempt, *, whole: bool) -> None:
        self.failed = False
        if self.paused:
            self.paused = False
            self.pixel = await self.write(
                lambda t: accounts.resume(t, self.settings.shop, self.settings.pixel_id)
            )
            log.info("capi_pixel_resumed", shop=self.settings.shop, pixel_id=self.settings.pixel_id)
        if whole:
            try:
                await self.write(lambda t: settle_sent(t, self.dialect, batch, made))
            except ClaimLost as lost:
                log.warning("capi_claim_lost", shop=self.settings.shop, detail=str(lost))
            else:
                return
        await self._settle([sent(row, made) for row in batch])

    async def _refused(self, batch: Rows, verdict: GraphVerdict, made: Attempt) -> list[Rows]:
        """Batches still to be sent after a permanent error."""
        if self.paused:  # Whatever is wrong with this row, the pixel takes requests again.
            self.paused = False
            self.pixel = await self.write(
                lambda t: accounts.resume(t, self.settings.shop, self.settings.pixel_id)
            )
        if len(batch) > 1:
            batch = [row._replace(attempts=appended(row.attempts, made.line())) for row in batch]
            half = len(batch) // 2
            return [batch[half:], batch[:half]]
        row = batch[0]
        if verdict.action is Action.STRIP_FBC and "fbc" in row.match_keys.split(","):
            return [[without_fbc(row)._replace(attempts=appended(row.attempts, made.line()))]]
        log.warning(
            "capi_event_dead",
            shop=row.shop,
            order_id=row.order_id,
            code=verdict.code,
            subcode=verdict.subcode,
        )
        await self._settle([dead(row, made, verdict)])
        return []

    async def _stop(self, batch: Rows, verdict: GraphVerdict, made: Attempt, rest: Rows) -> None:
        """The lane cannot go on now: batch and rest wait, each as long as the answer says."""
        now_ms = self.clock_ms()
        shop, pixel_id = self.settings.shop, self.settings.pixel_id
        if verdict.action is Action.WAIT:
            wait_ms = (
                verdict.wait_ms
                if verdict.wait_ms is not None
                else throttle_ms(max(row.tries for row in batch) + 1)
            )
            pixel = await self.write(
                lambda t: accounts.throttle(t, shop, pixel_id, wait_ms, now_ms)
            )
            log.warning(
                "capi_throttled",
                shop=shop,
                pixel_id=pixel_id,
                code=verdict.code,
                until_ms=pixel.throttled_until_ms,
            )
            self.pixel = pixel
            due_ms = pixel.throttled_until_ms
            again = [waiting(row, due_ms, made, tries=row.tries + 1) for row in batch]
            await self._settle(
                again + [waiting(row, due_ms, None, tries=row.tries) for row in rest]
            )
            return
        if verdict.action is Action.PAUSE:
            pixel = await self.write(
                lambda t: accounts.pause(t, self.settings, verdict, now_ms, probe=self.paused)
            )
            log.error(
                "capi_pixel_paused",
                shop=shop,
                pixel_id=pixel_id,
                code=verdict.code,
                subcode=verdict.subcode,
                reason=pixel.paused_message,
            )
            self.pixel = pixel
            await self._settle(
                [waiting(row, now_ms, made) for row in batch]
                + [waiting(row, now_ms, None) for row in rest]
            )
            return
        self.failed = True
        again = [failed(row, made, verdict, self.chance()) for row in batch]
        await self._settle(again + [waiting(row, now_ms, None, tries=row.tries) for row in rest])

    async def _release(self, rows: Rows, due_ms: int) -> None:
        await self._settle([waiting(row, due_ms, None, tries=row.tries) for row in rows])

    async def _settle(self, rows: Rows) -> None:
        written = await self.write(lambda t: settle(t, self.claim_id, rows))
        if written != len(rows):
            log.warning("capi_claim_lost", shop=self.settings.shop, rows=len(rows) - written)


def _in_part(batch: Rows, verdict: GraphVerdict, made: Attempt) -> tuple[Rows, GraphVerdict]:
    """Meta took fewer events than it was sent. Alone, an event that was not taken is tried again later."""
    if len(batch) == 1:
        return batch, verdict._replace(kind=ErrorClass.TRANSIENT, action=Action.RETRY)
    return [
        row._replace(ambiguous_ms=row.ambiguous_ms or made.at_ms) for row in batch
    ], verdict._replace(kind=ErrorClass.TRANSIENT, action=Action.BISECT)
