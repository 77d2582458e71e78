"""A heartbeat is written as long as it can be, and never stops a role's work or its end."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from orderwire.serve.reporting.heartbeat import (
    REPORTED_FROM,
    Heartbeat,
    Identity,
    alive,
    report_failure,
)
from orderwire.serve.roles import receive
from query.status.answer import read_roles
from query.status.stalled import NextOffsets
from stream.store.sql.plain import PlainStore
from stream.store.sql.store import SqlStore

GARBAGE = b"no database at all" * 1_000


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - of a store there is nothing to await
            await asyncio.sleep(0.01)


def answer(store: SqlStore) -> list[Any]:
    with store.snapshot() as snapshot:
        return snapshot.query("SELECT role, beat_ms, details FROM roles")


async def test_it_beats_on_whatever_failed_before(store: SqlStore) -> None:
    faults: list[Exception] = [ValueError("anything"), OSError("a disk")]

    def details() -> Mapping[str, Any]:
        if faults:
            raise faults.pop()
        return {"well": True}

    async with alive(Heartbeat(store, Identity("receive"), details, every_s=0.01)):
        await until(lambda: answer(store))
    assert answer(store) == [], "taken away at an orderly end"


async def test_the_row_of_a_killed_role_goes_an_hour_after_its_last_beat(store: SqlStore) -> None:
    now_ms = time.time_ns() // 1_000_000
    with store.begin() as transaction:
        for minutes in (59, 61):
            transaction.execute(
                "INSERT INTO roles (role, instance, pid, started_ms, restarts, beat_ms, details)"
                " VALUES ('query', :instance, 1, 0, 0, :beat_ms, '{}')",
                instance=f"killed {minutes} minutes ago",
                beat_ms=now_ms - minutes * 60_000,
            )
    report_failure(store, Identity("receive"), "a port in use")
    with store.snapshot() as snapshot:
        found = snapshot.query("SELECT instance FROM roles WHERE role = 'query'")
    assert [row.instance for row in found] == ["killed 59 minutes ago"]


async def test_a_role_ends_in_good_order_although_its_store_is_broken(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(GARBAGE)
    asked = 0

    def details() -> Mapping[str, Any]:
        nonlocal asked
        asked += 1
        return {}

    ended = False
    async with alive(
        Heartbeat(
            PlainStore(f"sqlite:///{tmp_path / 'state.db'}"),
            Identity("receive"),
            details,
            every_s=0.01,
        )
    ):
        await until(lambda: asked > REPORTED_FROM)
        ended = True
    assert ended


def test_a_receiver_whose_spool_cannot_be_read_says_so_and_lives(tmp_path: Path) -> None:
    (tmp_path / "spool.db").write_bytes(GARBAGE)
    assert (
        "spool.db: file is not a database"
        in receive.details(tmp_path / "spool.db")["spool"]["error"]
    )
    assert receive.details(None) == {}


def test_why_a_role_failed_is_shown_until_it_is_up_again(store: SqlStore, store_url: str) -> None:
    identity = Identity("process", restarts=7)
    with closing(PlainStore(store_url)) as plain:
        report_failure(plain, identity, "LogError: not a database")
        report_failure(plain, identity, "LogError: not a database")
    now_ms = time.time_ns() // 1_000_000
    with store.snapshot() as snapshot:
        (role,) = read_roles(snapshot, now_ms, 15_000)
    assert (role.failed, role.restarts, role.alive) == ("LogError: not a database", 7, False)
    assert NextOffsets(now_ms - 60_000).nobody_folds([role], now_ms)
    heartbeat = Heartbeat(store, identity, dict)
    heartbeat._beat()
    with store.snapshot() as snapshot:
        (role,) = read_roles(snapshot, now_ms, 15_000)
    assert (role.failed, role.instance) == (None, identity.instance)
