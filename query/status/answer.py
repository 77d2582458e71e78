"""Reads the state behind `GET /v1/status` and `/readyz`: roles, positions and waiting work
(docs/api.md, "GET /v1/status")."""

import asyncio
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from processors.engine.feed import Feed, feed_of
from query.api_settings import ApiSettings
from query.as_of import Spans, behind_by_partition
from query.status.schema import (
    AlarmStatus,
    DeliveryStatus,
    JobStatus,
    MissedStatus,
    ParkedStatus,
    ProcessorStatus,
    ProjectionStatus,
    RefetchStatus,
    RoleStatus,
    SpoolStatus,
    StatementStatus,
    Status,
    StoppedShopStatus,
)
from stream.log.contract import Log, LogError
from stream.store.contract import Position, Snapshot
from stream.times import instant

SCAN_TIMEOUT_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Role:
    """One row of `roles`."""

    role: str
    instance: str
    pid: int
    started_ms: int
    restarts: int
    beat_ms: int
    details: Mapping[str, Any]
    alive: bool

    @property
    def failed(self) -> str | None:
        """Why it ended last; such a row is no heartbeat."""
        reason = self.details.get("failed")
        return None if reason is None else str(reason)


def read_roles(snapshot: Snapshot, now_ms: int, silent_ms: int) -> list[Role]:
    """All roles that ever reported, and whether they still do. A role silent for `role_silent_ms`
    is not alive, and its stopped processors no longer count."""
    rows = snapshot.query(
        "SELECT role, instance, pid, started_ms, restarts, beat_ms, details FROM roles "
        "ORDER BY role, instance"
    )
    roles = []
    for row in rows:
        details = _object(row.details)
        roles.append(
            Role(
                row.role,
                row.instance,
                row.pid,
                row.started_ms,
                row.restarts,
                row.beat_ms,
                details,
                alive=abs(now_ms - row.beat_ms) <= silent_ms and "failed" not in details,
            )
        )
    return roles


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text or "{}")
    return value if isinstance(value, dict) else {}


def read_parked(snapshot: Snapshot, shops: Collection[str] | None) -> dict[str, int]:
    """Records that wait to be replayed, by reason; of these shops, or of all shops and of none."""
    by_reason: dict[str, int] = {}
    for shop, reason, records in snapshot.query(
        "SELECT shop, reason, records FROM parked_cell WHERE records <> 0 ORDER BY reason"
    ):
        if shops is None or shop in shops:
            by_reason[reason] = by_reason.get(reason, 0) + records
    return by_reason


def stopped(roles: Sequence[Role], what: str = "stopped") -> dict[str, str]:
    """Stopped processors by name, with their reason; `parts`: other parts of a role."""
    return {
        name: str(reason)
        for role in roles
        if role.alive
        for name, reason in (role.details.get(what) or {}).items()
    }


def spool(roles: Sequence[Role]) -> SpoolStatus:
    """Records that receivers keep while the log is unavailable. They are on disk, so dead receivers
    count too."""
    spools = [role.details["spool"] for role in roles if role.details.get("spool")]
    ages = [each["oldest_s"] for each in spools if each.get("oldest_s") is not None]
    return SpoolStatus(
        records=sum(each.get("records", 0) for each in spools),
        bytes=sum(each.get("bytes", 0) for each in spools),
        oldest_s=max(ages, default=None),
        set_aside=sum(each.get("set_aside", 0) for each in spools),
    )


def spool_fault(role: Role) -> str | None:
    """Why this receiver cannot read its spool."""
    return (role.details.get("spool") or {}).get("error")


async def oldest_s(
    log: Log, feed: Feed, positions: Sequence[Position], spans: Spans, now_ms: int
) -> float | None:
    """Age of the oldest unread record of the feed, seconds; 0 if there is none, None if the log did
    not answer."""
    if feed.topic not in spans:
        return None
    reached = {
        position.partition: position.unread for position in positions if feed_of(position) == feed
    }
    oldest = 0.0
    for partition, behind in behind_by_partition(feed, positions, spans[feed.topic]).items():
        if not behind:
            continue
        try:
            async with asyncio.timeout(SCAN_TIMEOUT_S):
                entries = await log.scan(
                    feed.topic,
                    partition,
                    max(reached.get(partition, 0), spans[feed.topic][partition].first),
                    1,
                )
        except (LogError, TimeoutError):
            return None
        if entries:
            oldest = max(oldest, (now_ms - entries[0].record.time_ms) / 1000)
    return oldest


async def processors_status(
    log: Log,
    feeds: Sequence[Feed],
    positions: Sequence[Position],
    spans: Spans,
    why: Mapping[str, str],
    now_ms: int,
) -> list[ProcessorStatus]:
    """One entry per processor and topic."""
    ages = await asyncio.gather(*(oldest_s(log, feed, positions, spans, now_ms) for feed in feeds))
    return [
        ProcessorStatus(
            name=feed.processor,
            topic=feed.topic,
            partitions=len(spans[feed.topic])
            if feed.topic in spans
            else len({p.partition for p in positions if feed_of(p) == feed}),
            lag_records=sum(behind_by_partition(feed, positions, spans[feed.topic]).values())
            if feed.topic in spans
            else None,
            oldest_s=age,
            records=sum(position.records for position in positions if feed_of(position) == feed),
            stopped=why.get(feed.processor),
        )
        for feed, age in zip(feeds, ages, strict=True)
    ]


def status_answer(
    settings: ApiSettings,
    store_kind: str,
    roles: Sequence[Role],
    processors: list[ProcessorStatus],
    parked: Mapping[str, int],
    stopped_shops: list[StoppedShopStatus],
    projections: list[ProjectionStatus],
    jobs: list[JobStatus],
    refetch: list[RefetchStatus],
    deliveries: list[DeliveryStatus],
    missed: list[MissedStatus],
    statements: list[StatementStatus],
    alarms: list[AlarmStatus],
) -> Status:
    """The answer without `shop` and `as_of`."""
    return Status(
        version=settings.version,
        log=settings.log_kind,
        store=store_kind,
        roles=[
            RoleStatus(
                role=role.role,
                instance=role.instance,
                pid=role.pid,
                started_at=instant(role.started_ms),
                restarts=role.restarts,
                alive=role.alive,
                beat_at=instant(role.beat_ms),
                failed=role.failed,
                settings_error=role.details.get("settings_error"),
            )
            for role in roles
        ],
        processors=processors,
        stopped_shops=stopped_shops,
        projections=projections,
        jobs=jobs,
        refetch=refetch,
        deliveries=deliveries,
        missed_by_webhook=missed,
        statements=statements,
        alarms=alarms,
        spool=spool(roles),
        parked=ParkedStatus(records=sum(parked.values()), by_reason=dict(parked)),
    )
