"""The receiver's store: a sign of life written by the driver alone reads as if the whole store had
written it."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from orderwire.serve.reporting.heartbeat import Heartbeat, Identity
from stream.store.contract import StoreUnavailable
from stream.store.sql.plain import PlainStore
from stream.store.sql.store import SqlStore

ROLE = (
    "INSERT INTO roles (role, instance, pid, started_ms, restarts, beat_ms, details, metrics) "
    "VALUES (:role, 'a', 1, 1, 0, 1, '{}', '')"
)


@pytest.fixture
def plain(store_url: str) -> Iterator[PlainStore]:
    plain = PlainStore(store_url)
    yield plain
    plain.close()


def roles(store: SqlStore) -> list[str]:
    with store.snapshot() as snapshot:
        return [row[0] for row in snapshot.query("SELECT role FROM roles ORDER BY role")]


def test_what_a_block_executes_is_there_when_it_ends(store: SqlStore, plain: PlainStore) -> None:
    with plain.begin() as transaction:
        assert transaction.execute(ROLE, role="receive") == 1
        assert (
            transaction.execute(
                "UPDATE roles SET pid = :pid WHERE role = :role", pid=7, role="nobody"
            )
            == 0
        )
    assert roles(store) == ["receive"]


def test_a_block_that_raises_leaves_nothing_and_the_next_one_works(
    store: SqlStore, plain: PlainStore
) -> None:
    with pytest.raises(KeyError), plain.begin() as transaction:
        transaction.execute(ROLE, role="receive")
        raise KeyError
    with plain.begin() as transaction:
        transaction.execute(ROLE, role="query")
    assert roles(store) == ["query"]


def test_what_the_database_refuses_is_unavailable_and_the_next_block_works(
    store: SqlStore, plain: PlainStore
) -> None:
    with pytest.raises(StoreUnavailable), plain.begin() as transaction:
        transaction.execute("DELETE FROM no_such_table")
    with plain.begin() as transaction:
        transaction.execute(ROLE, role="query")
    assert roles(store) == ["query"]


def test_no_file_is_made_where_there_is_none(tmp_path: Path) -> None:
    plain = PlainStore(f"sqlite:///{tmp_path}/not here?.db")
    with pytest.raises(StoreUnavailable), plain.begin() as transaction:
        transaction.execute("DELETE FROM roles")
    assert not list(tmp_path.iterdir())


def test_a_server_that_is_away_is_unavailable() -> None:
    with (
        pytest.raises(StoreUnavailable),
        PlainStore("postgresql://nobody@127.0.0.1:1/none").begin(),
    ):
        pass


async def test_a_heartbeat_beats_through_it(store: SqlStore, plain: PlainStore) -> None:
    heartbeat = Heartbeat(plain, Identity("receive", instance="here:1"), lambda: {"spool": None})
    beating = asyncio.create_task(heartbeat.run())
    async with asyncio.timeout(10):
        while not roles(store):  # noqa: ASYNC110 - another connection writes
            await asyncio.sleep(0.01)
    beating.cancel()
    with suppress(asyncio.CancelledError):
        await beating
    assert roles(store) == ["receive"]
    heartbeat.gone()
    assert roles(store) == []
