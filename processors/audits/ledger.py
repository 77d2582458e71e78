"""The tables `audit_run` and `audit_step`: each shop's latest run of a type, and its steps.

    requested ──> running ──(each step saved when it ends)──> success | warning | error

A run that is running keeps its finished steps, whatever happens to the process.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from processors.audits.run import Issue, Status
from stream.store.contract import Reading, Transaction

RUNNING: Status = "running"
_STEP = "shop = :shop AND type = :type AND run_id = :run_id AND name = :name"


class AuditRun(NamedTuple):
    """A row of `audit_run`. Unix milliseconds; 0 for what has not happened."""

    shop: str
    type: str
    run_id: str
    status: Status
    days: int
    started_ms: int
    completed_ms: int
    updated_ms: int
    issues: str
    """JSON list of `Issue`."""
    summary: str
    """JSON object."""


class Step(NamedTuple):
    """A row of `audit_step`."""

    shop: str
    type: str
    run_id: str
    place: int
    name: str
    status: Status
    started_ms: int
    completed_ms: int
    duration_us: int
    result: str
    """JSON; "" until it ended well."""
    error: str


_RUN = f"SELECT {', '.join(AuditRun._fields)} FROM audit_run"


def begin(
    transaction: Transaction, shop: str, kind: str, run_id: str, days: int, now_ms: int
) -> bool:
    """Make the run the shop's latest of its type; False where that one is still running, or is this
    one or a later one."""
    rows = transaction.query(f"{_RUN} WHERE shop = :shop AND type = :type", shop=shop, type=kind)
    if rows:
        latest = AuditRun(*rows[0])
        same_or_later = latest.run_id == run_id or latest.started_ms > now_ms
        if latest.status == RUNNING or same_or_later:
            return False
    for table in ("audit_run", "audit_step"):
        transaction.execute(
            f"DELETE FROM {table} WHERE shop = :shop AND type = :type", shop=shop, type=kind
        )
    transaction.execute(
        "INSERT INTO audit_run (shop, type, run_id, status, days, started_ms, completed_ms,"
        " updated_ms, issues, summary)"
        " VALUES (:shop, :type, :run_id, 'running', :days, :now, 0, :now, '[]', '{}')",
        shop=shop,
        type=kind,
        run_id=run_id,
        days=days,
        now=now_ms,
    )
    return True


def runs(reading: Reading, shop: str) -> list[AuditRun]:
    """The shop's latest run of each type, the oldest first."""
    rows = reading.query(f"{_RUN} WHERE shop = :shop ORDER BY started_ms, type", shop=shop)
    return [AuditRun(*row) for row in rows]


def running(reading: Reading) -> list[tuple[str, str]]:
    """Shop and type of every run that has not ended."""
    rows = reading.query("SELECT shop, type FROM audit_run WHERE status = 'running'")
    return sorted((row.shop, row.type) for row in rows)


def steps(reading: Reading, shop: str) -> list[Step]:
    """The steps of the shop's runs, in order."""
    rows = reading.query(
        f"SELECT {', '.join(Step._fields)} FROM audit_step WHERE shop = :shop ORDER BY type, place",
        shop=shop,
    )
    return [Step(*row) for row in rows]


def step_begun(transaction: Transaction, run: AuditRun, place: int, name: str, now_ms: int) -> None:
    """The step is at work; its start stays that of its first attempt."""
    transaction.execute(
        "INSERT INTO audit_step (shop, type, run_id, place, name, status, started_ms,"
        " completed_ms, duration_us, result, error)"
        " VALUES (:shop, :type, :run_id, :place, :name, 'running', :now, 0, 0, '', '')"
        " ON CONFLICT (shop, type, place) DO NOTHING",
        place=place,
        now=now_ms,
        **_named(run, name),
    )
    _touch(transaction, run, now_ms)


def step_ended(
    transaction: Transaction,
    run: AuditRun,
    name: str,
    status: Status,
    now_ms: int,
    duration_us: int,
    result: Any,
    issues: Sequence[Issue],
    summary: dict[str, Any],
    error: str = "",
) -> AuditRun:
    """Save what the step came to, and what it adds to the run."""
    transaction.execute(
        "UPDATE audit_step SET status = :status, completed_ms = :now, duration_us = :took,"
        f" result = :result, error = :error WHERE {_STEP}",
        status=status,
        now=now_ms,
        took=duration_us,
        result="" if result is None else msgspec.json.encode(result).decode(),
        error=error,
        **_named(run, name),
    )
    found = [*msgspec.json.decode(run.issues), *(msgspec.to_builtins(issue) for issue in issues)]
    merged = msgspec.json.decode(run.summary) | summary
    saved = run._replace(
        issues=msgspec.json.encode(found).decode(), summary=msgspec.json.encode(merged).decode()
    )
    transaction.execute(
        "UPDATE audit_run SET issues = :issues, summary = :summary, updated_ms = :now"
        " WHERE shop = :shop AND type = :type AND run_id = :run_id",
        issues=saved.issues,
        summary=saved.summary,
        now=now_ms,
        shop=run.shop,
        type=run.type,
        run_id=run.run_id,
    )
    return saved


def ended(transaction: Transaction, run: AuditRun, status: Status, now_ms: int) -> None:
    """The run has ended."""
    transaction.execute(
        "UPDATE audit_run SET status = :status, completed_ms = :now, updated_ms = :now"
        " WHERE shop = :shop AND type = :type AND run_id = :run_id",
        status=status,
        now=now_ms,
        shop=run.shop,
        type=run.type,
        run_id=run.run_id,
    )


def _touch(transaction: Transaction, run: AuditRun, now_ms: int) -> None:
    transaction.execute(
        "UPDATE audit_run SET updated_ms = :now"
        " WHERE shop = :shop AND type = :type AND run_id = :run_id",
        now=now_ms,
        shop=run.shop,
        type=run.type,
        run_id=run.run_id,
    )


def _named(run: AuditRun, name: str) -> dict[str, str]:
    return {"shop": run.shop, "type": run.type, "run_id": run.run_id, "name": name}
