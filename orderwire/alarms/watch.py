"""Looks at the metrics of one `serve` every few seconds, logs alarms, and has them reported. One
of its roles does so: query, else process, else receive."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from orderwire.alarms import ledger
from orderwire.alarms.causes import cause
from orderwire.alarms.conditions import AlarmSubject, Conditions
from orderwire.alarms.message import BY_NAME
from orderwire.alarms.reporting import Reporter
from orderwire.alarms.rows import GONE_MS, AlertRow, State, is_over, seen, tried
from orderwire.alarms.samples import samples
from stream.store.contract import Store, StoreError

LOOK_S: Final = 10.0
CLAIM_MS: Final = 60_000
"""Longer than all targets together may take to answer."""

log = structlog.get_logger()


class AlarmWatch:
    """`keep` until cancelled. While the store is away, or there is none, what is known is kept in
    memory."""

    def __init__(
        self,
        texts: Callable[[], Awaitable[list[bytes]]],
        leads: Callable[[], Awaitable[bool]],
        store: Store | None,
        reporter: Reporter,
        *,
        reasons: Callable[[], str] = lambda: "",
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`texts`: metrics of all roles; `leads`: whether this role is the one to look; `reasons`:
        why the API is not ready."""
        self._texts, self._leads, self._store, self._reporter = texts, leads, store, reporter
        self._reasons, self._clock_ms, self._monotonic = reasons, clock_ms, monotonic
        self._conditions = Conditions()
        self._unsaved: dict[AlarmSubject, AlertRow] = {}
        """What the store has not taken."""
        self._logged: dict[AlarmSubject, State] = {}
        self._since_s = monotonic()

    async def keep(self) -> None:
        """Look for ever. A failure of ours is logged and costs one look."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                if await self._leads():
                    await self.look()
            except Exception as error:
                log.error("alarms not known", exc_info=error)

    async def look(self) -> None:
        """Once."""
        found = samples(await self._texts())
        holding = self._conditions.look(found, self._monotonic())
        now_ms = self._clock_ms()
        known, causes = await asyncio.to_thread(self._read, list(holding))
        # What was seen before this process began is seen again in its first minute, or over.
        sure = self._monotonic() - self._since_s > GONE_MS / 1000
        changed = seen(known, holding, lambda subject: causes.get(subject, ""), now_ms, sure=sure)
        rows = await self._save(known, changed, now_ms)
        self._log(rows, now_ms)
        await self._report(rows, now_ms)

    def _read(
        self, holding: list[AlarmSubject]
    ) -> tuple[dict[AlarmSubject, AlertRow], dict[AlarmSubject, str]]:
        causes = {each: self._reasons() for each in holding if each.alarm == "NotReady"}
        if self._store is None:
            return dict(self._unsaved), causes
        try:
            with self._store.snapshot() as snapshot:
                known = ledger.read(snapshot)
                for each in holding:
                    if each not in known or not known[each].detail:
                        causes.setdefault(each, cause(snapshot, each))
            return known | self._unsaved, causes
        except StoreError:
            return dict(self._unsaved), causes

    async def _save(
        self,
        known: dict[AlarmSubject, AlertRow],
        changed: dict[AlarmSubject, AlertRow],
        now_ms: int,
    ) -> dict[AlarmSubject, AlertRow]:
        """The rows as they are now; those that another process has just changed are left to it."""
        rows = known | changed
        over = [row for row in rows.values() if is_over(row, now_ms)]
        kept = {subject: row for subject, row in rows.items() if row not in over}
        writes = [kept[each] for each in {*changed, *self._unsaved} & kept.keys()]
        for row in over:
            self._unsaved.pop(row.subject, None)
        if self._store is None:
            self._unsaved.update(changed)
            return kept
        try:
            saved = await asyncio.to_thread(ledger.write, self._store, writes, over)
        except StoreError:
            self._unsaved = {**kept, **self._unsaved, **changed}
            return kept
        lost = {row.subject for row in writes} - saved.keys()
        self._unsaved.clear()
        return {subject: row for subject, row in kept.items() if subject not in lost} | saved

    def _log(self, rows: dict[AlarmSubject, AlertRow], now_ms: int) -> None:
        """When each condition is first seen, when its alarm fires, and its end."""
        for subject, row in rows.items():
            state = row.state(now_ms)
            if state is None or state == self._logged.get(subject):
                continue
            self._logged[subject] = state
            severe = state == "firing" and BY_NAME[subject.alarm].severity == "critical"
            write = log.error if severe else log.warning
            about = dict(subject.about)
            write("alarm", alarm=subject.alarm, state=state, **about, cause=row.detail or None)
        for subject in list(self._logged):
            ended = rows.get(subject)
            if ended is None or ended.ended_ms:
                del self._logged[subject]
                log.info("alarm ended", alarm=subject.alarm, **dict(subject.about))

    async def _report(self, rows: dict[AlarmSubject, AlertRow], now_ms: int) -> None:
        for subject, row in rows.items():
            wanted = self._reporter.wanted(row)
            due = (
                bool(row.notified)
                if row.ended_ms
                else row.state(now_ms) == "firing" and bool(wanted - row.notified)
            )
            if not due or now_ms < row.next_ms:
                continue
            # Whoever saves first is the one to send.
            claim = row._replace(next_ms=now_ms + CLAIM_MS)
            claimed = (await self._save(rows, {subject: claim}, now_ms)).get(subject)
            if claimed is not None:
                taken = await self._reporter.send(claimed)
                after = tried(claimed, taken, wanted, self._clock_ms())
                await self._save(rows, {subject: after}, now_ms)
