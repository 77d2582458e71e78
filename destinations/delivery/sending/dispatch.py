"""Sends one claim and applies the verdict of each answer, until every row of the claim is
settled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from destinations.delivery import accounts
from destinations.delivery.answer import revive
from destinations.delivery.backoff import throttle_ms
from destinations.delivery.ledger import ClaimLost, settle, settle_sent
from destinations.delivery.protocol import Destination
from destinations.delivery.results import (
    Attempt,
    appended,
    dead,
    failed,
    sent,
    waiting,
)
from destinations.delivery.rows import AccountRow, OutboxRow
from destinations.delivery.sending.refusals import WHOLE, Refusal, Refusals, cause
from destinations.delivery.sending.requesting import Requests, Rows
from destinations.delivery.sending.writing import StoreWriting
from destinations.delivery.verdict import ErrorClass, Verdict

PAUSES = frozenset({ErrorClass.CONFIGURATION, ErrorClass.DISABLED})
log = structlog.get_logger()


@dataclass(slots=True)
class Dispatch:
    """One claim while it is sent.

    A batch refused for one of its events is halved, with the same event ids, until the bad ones are
    single. A batch accepted in part is halved too: which part is unknown, so its rows count as
    maybe accepted meanwhile. When the lane must stop (throttle, pause, failure), or half of the
    lease is over, the remaining rows return to waiting. Where all are refused alike, in one claim
    or in several in a row, none is dead: the account pauses (`refusals`).
    """

    destination: Destination
    dialect: str
    claim_id: str
    give_up_ms: int
    """When half of the lease is over, by `steady_ms`: no request starts after it."""
    requests: Requests
    writing: StoreWriting
    clock_ms: Callable[[], int]
    steady_ms: Callable[[], int]
    chance: Callable[[], float]
    paused: bool
    """The claim is a probe of a paused account."""
    refusals: Refusals = field(default_factory=Refusals)
    account: AccountRow | None = None
    """The account's state, where this dispatch changed it."""
    failed: str = ""
    """Why the last request failed, where that says something about the vendor's end, not about a
    row."""

    async def run(self, rows: Rows) -> None:
        """Send `rows`, as claimed, and settle every one. Raises StoreUnavailable."""
        await self._run(rows)
        await self._bury()

    async def _run(self, rows: Rows) -> None:
        stack = self.requests.cut(rows)
        fresh = len(stack) == 1
        while stack:
            batch = stack.pop()
            if self.steady_ms() >= self.give_up_ms:
                await self._release([*batch, *(row for rest in stack for row in rest)])
                return
            judged, made = await self.requests.send(batch)
            if not isinstance(judged, Verdict):
                again, stopped = await self._each(batch, judged, made)
                stack += again
                if stopped is not None:
                    await self._stop(*stopped, [row for rest in stack for row in rest])
                    return
            elif judged.kind is ErrorClass.SENT:
                await self._sent(batch, made[0], whole=fresh)
            elif judged.split and len(batch) > 1:
                stack += self._halved(batch, made[0], ambiguous=judged.ambiguous)
            elif judged.kind is ErrorClass.PERMANENT:
                stack += await self._refused(batch, judged, made[0])
                if blamed := self.refusals.blame_account(ended=not stack):
                    await self._pause_refused(blamed, [row for rest in stack for row in rest])
                    return
            else:
                await self._stop(batch, judged, made[0], [row for rest in stack for row in rest])
                return
            fresh = False

    async def _sent(self, batch: Rows, made: Attempt, *, whole: bool) -> None:
        self.failed = ""
        self.refusals.accepted = True
        await self._resume()
        if whole:
            try:
                await self.writing.write_surely(lambda t: settle_sent(t, self.dialect, batch, made))
            except ClaimLost as lost:
                log.warning("claim lost", **self._names(), detail=str(lost))
            else:
                return
        await self._settle([sent(row, made) for row in batch])

    async def _each(
        self, batch: Rows, verdicts: Sequence[Verdict], made: Sequence[Attempt]
    ) -> tuple[list[Rows], tuple[Rows, Verdict, Attempt] | None]:
        """Settle each row by its verdict. Returns what to send again now and why the lane stops."""
        again: list[Rows] = []
        done: list[OutboxRow] = []
        stopping: list[OutboxRow] = []
        why: tuple[Verdict, Attempt] | None = None
        for row, verdict, its in zip(batch, verdicts, made, strict=True):
            if verdict.kind is ErrorClass.SENT:
                self.refusals.accepted = True
                await self._resume()
                done.append(sent(row, its))
            elif verdict.kind is ErrorClass.PERMANENT:
                again += await self._refused([row], verdict, its)
            elif verdict.kind is ErrorClass.THROTTLE or verdict.kind in PAUSES:
                stopping.append(row)
                why = (verdict, its)
            else:
                done.append(self._again(row, its, verdict))
        if done:
            self.failed = ""
            await self._settle(done)
        return again, None if why is None else (stopping, *why)

    def _halved(self, batch: Rows, made: Attempt, *, ambiguous: bool) -> list[Rows]:
        """Two batches, to be sent immediately."""
        noted = [
            row._replace(
                attempts=appended(row.attempts, made.line()),
                ambiguous_ms=row.ambiguous_ms or (made.at_ms if ambiguous else None),
            )
            for row in batch
        ]
        half = len(noted) // 2
        return [noted[half:], noted[:half]]

    async def _refused(self, batch: Rows, verdict: Verdict, made: Attempt) -> list[Rows]:
        """Batches still to be sent after a permanent error."""
        if cause(verdict) != self.refusals.paused_for:
            # The event is at fault; the account accepts requests again.
            await self._resume()
        if len(batch) > 1:
            return self._halved(batch, made, ambiguous=False)
        row = batch[0]
        repaired = self.destination.repaired(row, verdict)
        if repaired is not None and repaired.payload != row.payload:
            return [[repaired._replace(attempts=appended(row.attempts, made.line()))]]
        self.refusals.found.append(Refusal(row, verdict, made))
        return []

    async def _bury(self) -> None:
        """Settle what was refused for its own fault."""
        if await self._blamed_by_now():
            return
        refused = self.refusals.taken()
        for row, verdict, _ in refused:
            log.warning(
                "event refused",
                **self._names(),
                order_id=row.order_id,
                event_name=row.event_name,
                **verdict.details,
            )
        if refused:
            await self._settle([dead(row, made, verdict.reason) for row, verdict, made in refused])

    async def _blamed_by_now(self) -> bool:
        """Whether this claim's refusals, with those of the claims before, make the account pause.

        The events that died before come back with it: they were not at fault either.
        """
        alike = self.refusals.alike()
        over = self.refusals.streak and self.refusals.accepted
        if not self.refusals.found and not over:
            return False
        order_ids = [each.row.order_id for each in self.refusals.found] if alike else []
        place = (self.destination.shop, self.destination.name)
        self.account = await self.writing.write_surely(
            lambda t: accounts.refused(t, *place, alike or "", order_ids)
        )
        orders = self.account.refused_orders.split(",")
        if alike is None or len(orders) < WHOLE:
            return False
        await self._pause_refused(self.refusals.blamed(), ())
        now_ms = self.clock_ms()
        await self.writing.write_surely(lambda t: revive(t, *place, now_ms, order_ids=orders))
        return True

    async def _pause_refused(self, verdict: Verdict, rest: Rows) -> None:
        """Nothing is at fault but the account: it pauses, and all rows wait."""
        now_ms = self.clock_ms()
        place = (self.destination.shop, self.destination.name)
        self.account = await self.writing.write_surely(
            lambda t: accounts.pause(t, *place, verdict, now_ms, probe=self.paused)
        )
        log.error("account paused", **self._names(), **verdict.details, reason=verdict.message)
        # One of the others is the next probe.
        again = [self._wait(row, now_ms + 1, made) for row, _, made in self.refusals.taken()]
        await self._settle(again + [self._wait(row, now_ms) for row in rest])

    async def _stop(self, batch: Rows, verdict: Verdict, made: Attempt, rest: Rows) -> None:
        """The lane cannot go on now: batch and rest wait, each as long as the answer says."""
        now_ms = self.clock_ms()
        place = (self.destination.shop, self.destination.name)
        if verdict.kind is ErrorClass.THROTTLE or (
            verdict.wait_ms is not None and verdict.kind not in PAUSES
        ):
            wait_ms = verdict.wait_ms
            if wait_ms is None:
                wait_ms = throttle_ms(max(row.tries for row in batch) + 1)
            account = await self.writing.write_surely(
                lambda t: accounts.throttle(t, *place, wait_ms, now_ms)
            )
            self.account, due_ms = account, account.throttled_until_ms
            log.warning("throttled", **self._names(), code=verdict.code, until_ms=due_ms)
            unsure_ms = made.at_ms if verdict.ambiguous else None
            again = [
                self._wait(row, due_ms, made, tries=row.tries + 1, ambiguous_ms=unsure_ms)
                for row in batch
            ]
            await self._settle(again + [self._wait(row, due_ms, tries=row.tries) for row in rest])
        elif verdict.kind in PAUSES:
            self.account = await self.writing.write_surely(
                lambda t: accounts.pause(t, *place, verdict, now_ms, probe=self.paused)
            )
            reason = self.account.paused_message
            log.error("account paused", **self._names(), **verdict.details, reason=reason)
            await self._settle(
                [self._wait(row, now_ms, made) for row in batch]
                + [self._wait(row, now_ms) for row in rest]
            )
        else:
            self.failed = verdict.message or f"HTTP {verdict.http_status}"
            again = [self._again(row, made, verdict) for row in batch]
            await self._settle(again + [self._wait(row, now_ms, tries=row.tries) for row in rest])

    async def _resume(self) -> None:
        """A probe succeeded."""
        if self.paused:
            self.paused = False
            self.account = await self.writing.write_surely(
                lambda t: accounts.resume(t, self.destination.shop, self.destination.name)
            )
            log.info("account resumed", **self._names())

    async def _release(self, rows: Rows) -> None:
        now_ms = self.clock_ms()
        await self._settle([self._wait(row, now_ms, tries=row.tries) for row in rows])

    def _wait(
        self,
        row: OutboxRow,
        due_ms: int,
        made: Attempt | None = None,
        *,
        tries: int = 0,
        ambiguous_ms: int | None = None,
    ) -> OutboxRow:
        return waiting(
            row,
            due_ms,
            made,
            repeat_ms=self.destination.repeat_ms,
            tries=tries,
            ambiguous_ms=ambiguous_ms,
        )

    def _again(self, row: OutboxRow, made: Attempt, verdict: Verdict) -> OutboxRow:
        again = failed(
            row,
            made,
            verdict,
            self.chance(),
            self.destination.schedule,
            self.destination.repeat_ms,
        )
        stepped_ms = made.at_ms + made.duration_ms - self.clock_ms()
        if again.due_ms is None or stepped_ms <= 0:
            return again
        # The clock went back during the request: the wait counts from now.
        return again._replace(due_ms=again.due_ms - stepped_ms)

    async def _settle(self, rows: Rows) -> None:
        written = await self.writing.write_surely(lambda t: settle(t, self.claim_id, rows))
        if written != len(rows):
            log.warning("claim lost", **self._names(), rows=len(rows) - written)

    def _names(self) -> dict[str, str]:
        """The fields of a log line."""
        return {"shop": self.destination.shop, "destination": self.destination.name}
