"""Audits as an old front end asks for them: POST, poll, render; eight at once, and a kill of the
whole program in the middle."""

import asyncio
from pathlib import Path
from typing import Any

from processors.audits.run import STEPS
from tests.system.harness import System

PATIENCE_S = 120
ROLES = ("receive", "process", "query")
SESSION = {"id", "created_at", "updated_at", "audits"}
RUN = {
    *("id", "audit_type", "status", "execution_mode", "started_at", "completed_at"),
    *("steps", "issues", "summary"),
}
STEP = {
    *("id", "name", "status", "started_at", "completed_at", "duration_ms", "result"),
    "error_message",
}


async def session(system: System) -> dict[str, Any]:
    """The session, in the shape that is polled."""
    status, found = await system.api("/api/audits/session")
    assert (status, set(found), set(found["session"])) == (200, {"session"}, SESSION)
    audits: dict[str, Any] = found["session"]["audits"]
    for kind, run in audits.items():
        assert (set(run), run["audit_type"]) == (RUN, kind)
        for step, name in zip(run["steps"], STEPS[kind], strict=False):
            assert (set(step), step["name"]) == (STEP, name)
    return audits


def finished(audits: dict[str, Any]) -> set[tuple[str, str, str]]:
    """Run, name and end of the steps that are done."""
    return {
        (run["id"], step["name"], step["completed_at"])
        for run in audits.values()
        for step in run["steps"]
        if step["completed_at"] is not None
    }


async def test_eight_audits_in_parallel_go_on_after_a_kill_without_repeating_a_step(
    tmp_path: Path,
) -> None:
    async with System(tmp_path, roles=ROLES) as system:
        await system.start()
        begun = await asyncio.gather(
            *(system.api(f"/api/audits/{kind}", method="POST") for kind in [*STEPS] * 2)
        )
        assert [status for status, _ in begun] == [200] * 8
        async with asyncio.timeout(PATIENCE_S):
            before = finished(await session(system))
            while not before:
                await asyncio.sleep(0.01)
                before = finished(await session(system))
        await system.kill()
        await system.start()
        async with asyncio.timeout(PATIENCE_S):
            audits = await session(system)
            while len(audits) < len(STEPS) or any(
                run["status"] == "running" for run in audits.values()
            ):
                await asyncio.sleep(0.2)
                audits = await session(system)
        shown = {run["id"] for run in audits.values()}
        assert shown <= {found["run_id"] for _, found in begun}
        # A run that had ended before its kind was asked for again has made room for the next.
        assert {step for step in before if step[0] in shown} <= finished(audits)
        for run in audits.values():
            names = [step["name"] for step in run["steps"]]
            assert names == list(STEPS[run["audit_type"]][: len(names)])
            failed = [step for step in run["steps"] if step["status"] == "error"]
            assert (run["status"] == "error") == bool(failed)
        assert await system.stop() == 0
