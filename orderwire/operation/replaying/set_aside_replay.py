"""Replays records that the log has refused (`orderwire replay --set-aside`), once the cause is
fixed. They are in this machine's spool; a receiver may run meanwhile, and what is refused again
stays."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from stream.log.contract import Log, RecordsRefused
from stream.log.spool_file import FOR_EVER_MS, REASON_HEADER, SET_ASIDE, STEP, aside, unwrap
from stream.log.sqlite.log import SqliteLog


@dataclass(slots=True)
class SetAsideResult:
    """How many records were replayed or refused again."""

    returned: Counter[str] = field(default_factory=Counter)
    """By topic."""
    left: Counter[str] = field(default_factory=Counter)
    """By the reason why they were refused again."""
    discarded: int = 0


async def replay(
    log: Log, path: Path, *, discard: bool = False, dry_run: bool = False
) -> SetAsideResult:
    """Append records that were set aside to their topics again; with `discard` delete them. Raises
    LogError."""
    result = SetAsideResult()
    if not await asyncio.to_thread(path.exists):
        return result
    spool = await SqliteLog.open(path, setting="ORDERWIRE_SPOOL")
    try:
        span = (await spool.spans(SET_ASIDE))[0]
        offset = span.first
        while offset < span.next:
            kept = await spool.scan(SET_ASIDE, 0, offset, STEP)
            entries = [entry for entry in kept if entry.offset < span.next]
            if not entries:
                break
            offset = entries[-1].offset + 1
            records = [unwrap(entry.record) for entry in entries]
            if discard:
                result.discarded += len(records)
            elif dry_run:
                result.left.update(entry.record.headers[REASON_HEADER] for entry in entries)
            else:
                again = None
                try:
                    await log.append(records)
                except RecordsRefused as refused:
                    again = refused
                    await spool.append([aside(each, refused.reason) for each in refused.records])
                    result.left[refused.reason] += len(refused.records)
                lost = () if again is None else again.records
                result.returned.update(
                    record.topic for record in records if not any(record is each for each in lost)
                )
            if not dry_run:
                await spool.retain(SET_ASIDE, FOR_EVER_MS, {0: offset})
    finally:
        await spool.close()
    return result
