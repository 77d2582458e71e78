"""Shops that are behind their processor, and the steps by which they catch up after each batch."""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Generic, TypeVar

import structlog

from processors.engine import stops
from processors.engine.decoding import Decoded, decode_all, shop_of
from processors.engine.settling import Settling
from processors.engine.stops import ALL_SHOPS, StoppedShop, resume_command
from processors.engine.store_calls import StoreCalls
from processors.engine.work import CATCHES_UP, BatchWork
from stream.log.contract import Log
from stream.store.contract import Move, Transaction

Event = TypeVar("Event")
STEP = 500
BAD_IN_A_STEP = 64
"""Records that a shop is given at a time once a step of it has failed: the others wait for a step.
"""

log = structlog.get_logger()


class Behind(Generic[Event]):
    """Rows of `stopped_shop` of one processor, and the steps of those that catch up."""

    def __init__(self, settling: Settling[Event], source: Log, began_ms: int) -> None:
        self._settling, self._log, self._began_ms = settling, source, began_ms
        self._rows: dict[tuple[int, str], StoppedShop] = {}
        self._small_steps: set[str] = set()
        self._turn = 0

    def take_over(
        self, rows: Collection[StoppedShop], positions: Mapping[int, int]
    ) -> list[StoppedShop]:
        """Use the store's rows; returns those that are out of date.

        Shops that stopped before this process began are tried again. If a position was moved back
        to before a shop's own, the shop reads with the others.
        """
        rows = [row for row in rows if row.shop != ALL_SHOPS]
        late = [row for row in rows if row.next < positions.get(row.partition, 0)]
        self._rows = {
            (row.partition, row.shop): row._replace(stopped=0)
            if row.since_ms < self._began_ms
            else row
            for row in late
        }
        return [row for row in rows if row not in late]

    def stopped(self) -> set[str]:
        """Shops whose records are not folded until somebody asks for it."""
        return {row.shop for row in tuple(self._rows.values()) if row.stopped}

    def anybody(self) -> bool:
        """Whether any shop is behind."""
        return bool(self._rows)

    def catching_up(self) -> bool:
        """Whether there is a step to do."""
        return any(not row.stopped for row in self._rows.values())

    def leave_out(self, work: BatchWork[Event]) -> None:
        """Remove entries of shops that are behind; note where a stopped one has new records."""
        if not self._rows:
            return
        stopped = {row.shop: row.reason for row in self._rows.values() if row.stopped}
        kept: list[Decoded[Event]] = []
        for each in work.decoded:
            if (each.entry.partition, each.shop) in self._rows:
                continue
            if each.shop in stopped:
                work.left_behind[each.shop] = stopped[each.shop]
                work.dropped.append(each.entry)
            else:
                kept.append(each)
        work.decoded = kept

    def rows_for(self, work: BatchWork[Event]) -> list[StoppedShop]:
        """The rows of shops that drop out with `work`."""
        processor = self._settling.processor
        return [
            StoppedShop(
                processor.name,
                processor.topic,
                partition,
                shop,
                next=offset,
                stopped=int(work.left_behind[shop] != CATCHES_UP),
                limited_from=0,
                reason=work.left_behind[shop],
                since_ms=self._settling.clock_ms(),
            )
            for (partition, shop), offset in work.first_dropped().items()
            if (partition, shop) not in self._rows
        ]

    def note(self, rows: Sequence[StoppedShop]) -> None:
        """These rows are in the store."""
        known = {shop for _, shop in self._rows}
        for row in rows:
            self._rows[row.partition, row.shop] = row
            if row.shop not in known:
                self._report(row)
                known.add(row.shop)

    async def step(self, calls: StoreCalls, positions: Mapping[int, int]) -> None:
        """Let the next shop catch up by some records. Raises what `Settling.settle` raises, and
        Fenced."""
        waiting = sorted(row for row in self._rows.values() if not row.stopped)
        if not waiting:
            return
        self._turn += 1
        row = waiting[self._turn % len(waiting)]
        position = positions[row.partition]
        read = await self._log.scan(row.topic, row.partition, row.next, STEP)
        if read and read[0].offset > row.next:
            await self._report_gap(row, read[0].offset)
        read = [entry for entry in read if entry.offset < position]
        upto = read[-1].offset + 1 if read else position
        mine = [entry for entry in read if shop_of(entry) == row.shop]
        at_most = BAD_IN_A_STEP if row.shop in self._small_steps else 0
        if at_most and len(mine) > at_most:
            mine = mine[:at_most]
            upto = mine[-1].offset + 1
        work = BatchWork(
            decode_all(self._settling.processor, mine),
            at_most,
            limited_from={row.partition: row.limited_from},
        )
        await self._settling.settle(
            work, calls, partial(self._save, row=row, upto=upto, position=position)
        )
        self._after(row, self._moved(row, work, upto), work, position)

    def _moved(self, row: StoppedShop, work: BatchWork[Event], upto: int) -> StoppedShop:
        reason = work.left_behind.get(row.shop)
        if reason is None:
            return row._replace(next=upto, stopped=0)
        if reason == CATCHES_UP:
            return row
        now_ms = self._settling.clock_ms()
        return row._replace(stopped=1, limited_from=0, reason=reason, since_ms=now_ms)

    def _save(
        self,
        transaction: Transaction,
        work: BatchWork[Event],
        *,
        row: StoppedShop,
        upto: int,
        position: int,
    ) -> None:
        newest_ms = max((each.entry.record.time_ms for each in work.decoded), default=0)
        # Nobody else has the partition: the position is where we left it.
        move = Move(position, position, len(work.decoded))
        transaction.advance(row.processor, row.topic, {row.partition: move}, newest_ms)
        moved = self._moved(row, work, upto)
        if moved.next >= position:
            stops.end(transaction, row)
        elif moved != row:
            stops.move(transaction, row, moved)

    def _after(
        self, row: StoppedShop, moved: StoppedShop, work: BatchWork[Event], position: int
    ) -> None:
        key = (row.partition, row.shop)
        if moved.next >= position:
            del self._rows[key]
            log.info("shop has caught up", processor=row.processor, shop=row.shop)
        else:
            self._rows[key] = moved
        if work.left_behind.get(row.shop) == CATCHES_UP:
            self._small_steps.add(row.shop)
        elif not work.parked:
            self._small_steps.discard(row.shop)
        if moved.stopped:
            self._report(moved)

    def _report(self, row: StoppedShop) -> None:
        if row.stopped:
            log.error(
                "shop stopped",
                processor=row.processor,
                shop=row.shop,
                reason=row.reason,
                go_on=resume_command(row.processor, row.shop),
            )
        else:
            log.warning("shop falls behind", processor=row.processor, shop=row.shop)

    async def _report_gap(self, row: StoppedShop, found: int) -> None:
        span = (await self._log.spans(row.topic))[row.partition]
        if span.first > row.next:  # else a gap that the log has of itself
            log.error(
                "records of a shop that was behind are gone: retention has passed them",
                processor=row.processor,
                shop=row.shop,
                offsets=f"{row.topic}/{row.partition} {row.next} to {found}",
            )
