"""Reads the state of scheduled jobs from the table `scheduled_job`, for `/v1/status`."""

from collections.abc import Collection, Iterable
from itertools import groupby
from typing import Any

from query.status.schema import FailingJob, JobStatus
from stream.store.contract import Snapshot
from stream.times import instant


def read_jobs(snapshot: Snapshot, shops: Collection[str] | None, now_ms: int) -> list[JobStatus]:
    """One entry per job, of these shops or of all."""
    rows = snapshot.query(
        "SELECT job, shop, due_ms, lease_until_ms, started_ms, succeeded_ms, failures,"
        " failing_since_ms, reason, note FROM scheduled_job ORDER BY job, shop"
    )
    within = (row for row in rows if shops is None or row.shop in shops)
    return [_job(name, its, now_ms) for name, its in groupby(within, lambda row: row.job)]


def _job(name: str, rows: Iterable[Any], now_ms: int) -> JobStatus:
    its = list(rows)
    waiting = [row for row in its if row.lease_until_ms <= now_ms]
    succeeded_ms = max(row.succeeded_ms for row in its)
    latest = max(its, key=lambda row: row.succeeded_ms)
    return JobStatus(
        name=name,
        shops=len(its),
        running=len(its) - len(waiting),
        succeeded_at=_time(succeeded_ms),
        note=latest.note or None,
        next_at=min((instant(row.due_ms) for row in waiting), default=None),
        overdue_s=max((now_ms - row.due_ms for row in waiting if row.due_ms < now_ms), default=0)
        / 1000,
        failing=[
            FailingJob(
                shop=row.shop,
                since=instant(row.failing_since_ms),
                failures=row.failures,
                reason=row.reason,
                succeeded_at=_time(row.succeeded_ms),
                next_at=instant(row.due_ms),
            )
            for row in its
            if row.failures
        ],
    )


def _time(ms: int) -> str | None:
    return instant(ms) if ms else None
