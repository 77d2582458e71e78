"""Carries out audit runs step by step; each step is saved when it ends and tried three times in
all. An interrupted run continues with its first unfinished step."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any

import msgspec
import structlog

from orderwire.serve.audits.step import Audited, Step, StepFailed, StepResult, TryAgain
from orderwire.serve.schedule.job import Done, Job, Turn
from orderwire.settings.program import Settings
from processors.audits import ledger
from processors.audits.ledger import RUNNING, AuditRun
from processors.audits.run import STEPS, Issue, Status
from stream.store.contract import Store, StoreUnavailable

NAME = "audits"
EVERY_S = 3600.0
"""The processor asks for a turn when a run comes; this finds what was left."""
PAUSES_S = (1.0, 5.0)
"""Before the second and the third attempt of a step."""

log = structlog.get_logger()


def make(settings: Settings, store: Store) -> Job:
    """The job of all shops."""
    return Job(NAME, EVERY_S, partial(run, settings, store), tuple(settings.shops))


def run(
    settings: Settings,
    store: Store,
    turn: Turn,
    clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
) -> Done:
    """Carry out the shop's runs that have not ended."""
    ran = 0
    while not turn.stop.is_set():
        with store.snapshot() as snapshot:
            waiting = [each for each in ledger.runs(snapshot, turn.shop) if each.status == RUNNING]
        if not waiting:
            break
        carry_out(settings, store, waiting[0], turn, clock_ms)
        ran += 1
    return Done(f"{ran} runs" if ran else "")


def carry_out(
    settings: Settings,
    store: Store,
    run: AuditRun,
    turn: Turn,
    clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
) -> None:
    """Do the steps of a run that have not ended, until one fails or the process stops."""
    steps: Mapping[str, Step] = import_module(f"{__package__}.{run.type}").STEPS
    with store.snapshot() as snapshot:
        known = {
            step.name: step
            for step in ledger.steps(snapshot, run.shop)
            if step.run_id == run.run_id and step.status != RUNNING
        }
    results = {
        name: msgspec.json.decode(step.result) for name, step in known.items() if step.result
    }
    shared: dict[str, Any] = {}
    for place, name in enumerate(STEPS[run.type]):
        if name in known:
            if known[name].status == "error":
                break
            continue
        if turn.stop.is_set():
            return
        with store.begin() as transaction:
            ledger.step_begun(transaction, run, place, name, clock_ms())
        audited = Audited(
            settings, settings.shops[run.shop], store, run.days, clock_ms(), results, shared
        )
        began = time.perf_counter()
        found, error = _attempt(steps[name], audited, run, name, turn)
        if found is None and error is None:
            return  # The process stops: the step is begun again.
        took_us = round(1_000_000 * (time.perf_counter() - began))
        issues = found.issues if found else (error,) if error else ()
        with store.begin() as transaction:
            run = ledger.step_ended(
                transaction,
                run,
                name,
                "error" if error else _worst(issues),
                clock_ms(),
                took_us,
                None if found is None else found.result,
                issues,
                {} if found is None else found.summary,
                "" if error is None else error.message,
            )
        if error is not None:
            break
        if found is not None:
            results[name] = found.result
    with store.begin() as transaction:
        ledger.ended(transaction, run, _status(transaction, run), clock_ms())


def _attempt(
    step: Step, audited: Audited, run: AuditRun, name: str, turn: Turn
) -> tuple[StepResult | None, Issue | None]:
    """What the step found, or why it cannot be done; neither where the process stops meanwhile."""
    # Not stamina: its waits cannot be ended by a process that stops.
    for pause_s in (*PAUSES_S, None):
        try:
            return step(audited), None
        except StepFailed as failed:
            return None, failed.issue
        except StoreUnavailable:
            raise  # The whole turn is tried again.
        except TryAgain as failed:
            why, action = str(failed), "try again later; see `orderwire doctor`"
        except Exception as error:
            log.error("audit step failed", audit=run.type, step=name, exc_info=error)
            why = f"our mistake ({type(error).__name__})"
            action = "see the log of the process role, and report it"
        if pause_s is None or turn.stop.wait(pause_s):
            break
    if turn.stop.is_set():
        return None, None
    return None, Issue("critical", why, action)


def _worst(issues: tuple[Issue, ...]) -> Status:
    return "warning" if any(issue.severity != "info" for issue in issues) else "success"


def _status(transaction: Any, run: AuditRun) -> Status:
    ended = {
        step.status for step in ledger.steps(transaction, run.shop) if step.run_id == run.run_id
    }
    return next((worst for worst in ("error", "warning") if worst in ended), "success")
