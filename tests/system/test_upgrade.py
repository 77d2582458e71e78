"""Two processes of each role are replaced one by one by those of the next version, whose migration
runs while the old version works, and no sender and no reader notices."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from simulator.servers.broker import KafkaBroker
from stream.store.migrations.run import head
from tests.support.servers.altered import write_program
from tests.system.checks import assert_all
from tests.system.harness import System
from tests.system.load import Load
from tests.system.serve_process import Serve, needs_proc
from tests.system.test_kafka_postgres import (
    ONE_SENDER_EACH,
    assert_sender_noticed_nothing,
    system_on,
    until,
)

pytestmark = needs_proc
ROLES = ("receive", "process", "query")
NEXT = "9999"
MIGRATION = f'''
"""What an upgrade may do while the old version works: it adds."""

import sqlalchemy as sa
from alembic import op

revision = "{NEXT}"
down_revision = "{head()}"


def upgrade() -> None:
    op.create_table("next_thing", sa.Column("id", sa.BigInteger, primary_key=True))
    for table in ("shop_order", "outbox", "positions", "roles"):
        op.add_column(
            table, sa.Column("next_fact", sa.Text, nullable=False, server_default="")
        )
'''


def next_version(folder: Path) -> dict[str, str]:
    """This program with one more migration, in `folder`; the environment that runs it."""
    write_program(folder, {"stream/store/migrations"})
    versions = folder / "stream" / "store" / "migrations" / "versions"
    (versions / f"{NEXT}_next.py").write_text(MIGRATION)
    return {"PYTHONPATH": str(folder)}


def working(url: str, serve: Serve) -> bool:
    """Whether every role of `serve` has reported that it works."""
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT pid FROM roles").fetchall()
    pids = {pid for pid, role in serve.members().items() if role}
    return len(pids) == len(serve.roles) and pids <= {pid for (pid,) in rows}


@contextlib.asynccontextmanager
async def readers(system: System) -> AsyncIterator[list[int]]:
    """Ask the API all the time, each time on a new connection; the statuses."""
    statuses: list[int] = []

    async def ask() -> None:
        while True:
            status, answer = await system.api("/v1/rfm", headers={"Connection": "close"})
            assert status == 200, (answer, system.tail())
            statuses.append(status)
            await asyncio.sleep(0.3)

    task = asyncio.create_task(ask())
    try:
        yield statuses
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.mark.timeout(900)
async def test_an_upgrade_one_by_one_costs_no_answer_and_leaves_no_trace(
    tmp_path: Path, kafka_broker: KafkaBroker, own_postgres_url: str
) -> None:
    url = own_postgres_url
    new = next_version(tmp_path / "next")
    async with system_on(tmp_path / "system", kafka_broker, url) as system:
        await system.start(roles=ROLES)
        assert system.serve is not None
        old = [system.serve, system.also(*ROLES)]
        for serve in old:
            await until(lambda serve=serve: working(url, serve), "the old one works")  # type: ignore[misc]
        async with (
            Load(system, rate=25, connections=ONE_SENDER_EACH) as load,
            readers(system) as statuses,
        ):
            for leaving in old:
                coming = system.also(*ROLES, environment=new)
                await until(lambda coming=coming: working(url, coming), "the new works")  # type: ignore[misc]
                await asyncio.sleep(2)
                leaving.signal(signal.SIGTERM)
                assert await leaving.ended() == 0
            await asyncio.sleep(2)
            sent = await load.end()
        with psycopg.connect(url) as connection:
            (found,) = connection.execute("SELECT version_num FROM alembic_version").fetchone() or (
                None,
            )
            assert found == NEXT
            # The checks below are the old program's: it reads the wider tables as it did before.
            connection.execute("UPDATE alembic_version SET version_num = %s", (head(),))
        await system.settled()
        assert_sender_noticed_nothing(sent)
        assert len(statuses) > 20
        await assert_all(system, sent)
        errors = [line for line in system.output().splitlines() if '"level": "error"' in line]
        # While members of a group change, a busy machine may report the log as slow.
        assert not [line for line in errors if '"event": "alarm"' not in line]
