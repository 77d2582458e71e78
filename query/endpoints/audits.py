"""`/api/audits…`: runs of audits, in the shape that existing dashboards poll.

A POST puts a record on the topic `audits`; the process role carries the run out. The session has
each type's latest run.
"""

import asyncio
import uuid
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from aggregates.parameters import text, whole
from processors.audits import ledger
from processors.audits.run import DAYS, MOST_DAYS, STEPS, Issue, request
from query.problem import Problem, not_found
from query.route import ApiRoute, Asked
from query.services import ApiServices, services_of
from stream.log.contract import LogError
from stream.times import instant

APPEND_S: Final = 5.0
RETRY_AFTER_S: Final = "5"
WHEN: Final = "2026-11-22T15:00:00.123Z"

RunStatus = Annotated[
    Literal["running", "success", "warning", "error"],
    Meta(description="Whether it is at work, and how it ended.", examples=["success"]),
]


class AuditStep(Struct, frozen=True, kw_only=True):
    """One step of a run."""

    id: Annotated[
        str, Meta(description="Names the step of this run.", examples=["a1b2/pixel_info"])
    ]
    name: Annotated[str, Meta(description="Which step.", examples=["check_credentials"])]
    status: RunStatus
    started_at: Annotated[str, Meta(description="When it began.", examples=[WHEN])]
    completed_at: Annotated[str | None, Meta(description="When it ended.", examples=[WHEN])]
    duration_ms: Annotated[
        float | None, Meta(description="How long it took, as measured.", examples=[182.4])
    ]
    result: Annotated[
        dict[str, Any] | None, Meta(description="What it found.", examples=[{"orders": 412}])
    ]
    error_message: Annotated[str | None, Meta(description="Why it failed.", examples=[None])]


class AuditIssue(Struct, frozen=True, kw_only=True):
    """Something to know or to mend."""

    severity: Annotated[
        Literal["critical", "warning", "info"],
        Meta(description="How much it matters.", examples=["warning"]),
    ]
    message: Annotated[str, Meta(description="What it is.", examples=["the pixel has never fired"])]
    action: Annotated[
        str, Meta(description="What to do about it.", examples=["check that the theme loads it"])
    ]


class Audit(Struct, frozen=True, kw_only=True):
    """The latest run of one type."""

    id: Annotated[str, Meta(description="The run's id.", examples=["a1b2"])]
    audit_type: Annotated[str, Meta(description="Its type.", examples=["capi"])]
    status: RunStatus
    execution_mode: Annotated[
        Literal["async"], Meta(description="Always `async`.", examples=["async"])
    ]
    started_at: Annotated[str, Meta(description="When it was asked for.", examples=[WHEN])]
    completed_at: Annotated[str | None, Meta(description="When it ended.", examples=[WHEN])]
    steps: Annotated[list[AuditStep], Meta(description="Steps begun, in order.")]
    issues: Annotated[list[AuditIssue], Meta(description="What was found.")]
    summary: Annotated[
        dict[str, Any],
        Meta(description="Headline figures.", examples=[{"total_customers": 23570}]),
    ]


class Session(Struct, frozen=True, kw_only=True):
    """The shop's audits."""

    id: Annotated[str, Meta(description="The shop.", examples=["example.myshopify.com"])]
    created_at: Annotated[str, Meta(description="When the oldest run began.", examples=[WHEN])]
    updated_at: Annotated[str, Meta(description="When anything changed last.", examples=[WHEN])]
    audits: Annotated[dict[str, Audit], Meta(description="The latest run of each type.")]


class SessionAnswer(Struct, frozen=True, kw_only=True):
    """What a dashboard polls."""

    session: Annotated[Session, Meta(description="The shop's audits.")]


class Begun(Struct, frozen=True, kw_only=True):
    """A run was asked for, or is at work already."""

    is_async: Annotated[
        bool, Meta(description="Always true: poll the session.", examples=[True])
    ] = msgspec.field(name="async", default=True)
    run_id: Annotated[str, Meta(description="The run's id.", examples=["a1b2"])]
    message: Annotated[str, Meta(description="What happens now.", examples=["capi has begun"])]


async def begin(asked: Asked) -> Begun:
    """POST /api/audits/{type}."""
    kind, services = asked.values["type"], services_of(asked)
    if kind not in STEPS:
        raise not_found(f"there is no audit {kind!r}", f"there are: {', '.join(STEPS)}")
    pending = services.pending_audits
    async with pending.lock:
        running = await asyncio.to_thread(_running, services, asked.shop, kind)
        waiting = pending.run_id(asked.shop, kind, asked.now_ms)
        if running is None and waiting is not None:
            ended = await asyncio.to_thread(_known, services, asked.shop, waiting)
            running = None if ended else waiting
        if running is not None:
            return Begun(run_id=running, message=f"{kind} is running already")
        run_id = uuid.uuid4().hex
        record = request(asked.shop, run_id, kind, asked.values["days"] or DAYS, asked.now_ms)
        try:
            async with asyncio.timeout(APPEND_S):
                await services.log.append([record])
        except (LogError, TimeoutError):
            raise Problem(
                503,
                "log-unavailable",
                "the log does not take the run now",
                "ask again; see /readyz",
                headers={"Retry-After": RETRY_AFTER_S},
            ) from None
        pending.add(asked.shop, kind, run_id, asked.now_ms)
    return Begun(run_id=run_id, message=f"{kind} has begun: poll /api/audits/session")


async def session(asked: Asked) -> SessionAnswer:
    """GET /api/audits/session."""
    services = services_of(asked)

    def read() -> SessionAnswer:
        with services.store.snapshot() as snapshot:
            runs = ledger.runs(snapshot, asked.shop)
            steps = ledger.steps(snapshot, asked.shop)
        return SessionAnswer(session=session_of(asked.shop, runs, steps, asked.now_ms))

    return await asyncio.to_thread(read)


def session_of(
    shop: str, runs: list[ledger.AuditRun], steps: list[ledger.Step], now_ms: int
) -> Session:
    """The answer from its rows."""
    return Session(
        id=shop,
        created_at=instant(min((run.started_ms for run in runs), default=now_ms)),
        updated_at=instant(max((run.updated_ms for run in runs), default=now_ms)),
        audits={
            run.type: _audit(run, [step for step in steps if step.run_id == run.run_id])
            for run in runs
        },
    )


def _audit(run: ledger.AuditRun, steps: list[ledger.Step]) -> Audit:
    issues = msgspec.json.decode(run.issues, type=list[Issue])
    return Audit(
        id=run.run_id,
        audit_type=run.type,
        status=run.status,
        execution_mode="async",
        started_at=instant(run.started_ms),
        completed_at=instant(run.completed_ms) if run.completed_ms else None,
        steps=[_step(step) for step in steps],
        issues=[
            AuditIssue(severity=issue.severity, message=issue.message, action=issue.action)
            for issue in issues
        ],
        summary=msgspec.json.decode(run.summary),
    )


def _step(step: ledger.Step) -> AuditStep:
    ended = step.completed_ms != 0
    return AuditStep(
        id=f"{step.run_id}/{step.name}",
        name=step.name,
        status=step.status,
        started_at=instant(step.started_ms),
        completed_at=instant(step.completed_ms) if ended else None,
        duration_ms=step.duration_us / 1000 if ended else None,
        result=msgspec.json.decode(step.result) if step.result else None,
        error_message=step.error or None,
    )


def _running(services: ApiServices, shop: str, kind: str) -> str | None:
    with services.store.snapshot() as snapshot:
        return next(
            (
                run.run_id
                for run in ledger.runs(snapshot, shop)
                if run.type == kind and run.status == ledger.RUNNING
            ),
            None,
        )


def _known(services: ApiServices, shop: str, run_id: str) -> bool:
    with services.store.snapshot() as snapshot:
        return any(run.run_id == run_id for run in ledger.runs(snapshot, shop))


TYPE: Final = text("type", f"which audit: {', '.join(STEPS)}", longest=40, where="path")
AUDITS: Final = (
    ApiRoute(
        "POST",
        "/api/audits/{type}",
        "Begin an audit; answers at once",
        begin,
        parameters=(
            TYPE,
            whole("days", "days of orders that the audit looks at", 1, MOST_DAYS, DAYS),
        ),
        answer=Begun,
        enveloped=False,
    ),
    ApiRoute(
        "GET",
        "/api/audits/session",
        "The latest run of each audit, step by step",
        session,
        answer=SessionAnswer,
        enveloped=False,
    ),
)
