"""The store fails at the n-th statement, n = 1, 2, ... to the last and at the commit: the state is
that of a run without failure."""

import asyncio
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from orderwire.serve.feeds import feeds, running
from orderwire.serve.registry import PROCESSORS
from orderwire.settings.program import Settings
from processors.engine.runner import Runner
from simulator.proof.sums import cells_differ, stores_differ
from stream.log.sqlite.log import SqliteLog
from stream.metrics import ProcessorMetrics
from stream.store.contract import Snapshot, StoreUnavailable
from stream.store.sql.store import SqlStore
from tests.support.shops.shop_world import NOW_MS, VARIABLES, deliveries, records

VISITS = 25


class FailingOnce:
    """A store whose `fails`-th statement, counting commits, does not happen."""

    def __init__(self, store: SqlStore, fails: int) -> None:
        self.dialect = store.dialect
        self._store, self._fails, self.statements = store, fails, 0

    def count(self) -> None:
        """One more statement."""
        self.statements += 1
        if self.statements == self._fails:
            raise StoreUnavailable("the server went away")

    @contextmanager
    def begin(self) -> Iterator[Any]:
        with self._store.begin() as transaction:
            yield _Counted(transaction, self)
            self.count()

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        with self._store.snapshot() as snapshot:
            yield snapshot

    def close(self) -> None:
        self._store.close()


class _Counted:
    """A transaction that counts what is asked of it."""

    def __init__(self, transaction: Any, store: FailingOnce) -> None:
        self._transaction, self._store = transaction, store

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._transaction, name)

        def counted(*arguments: Any, **named: Any) -> Any:
            self._store.count()
            return method(*arguments, **named)

        return counted


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    variables: Mapping[str, str] = VARIABLES | {
        "ORDERWIRE_LOG_URL": f"sqlite:///{tmp_path / 'log.db'}"
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return Settings.load()


async def run(name: str, settings: Settings, log: SqliteLog, store: FailingOnce) -> None:
    """Let one processor read to the end of its topic."""
    stop, done = asyncio.Event(), asyncio.Event()
    topic = feeds(settings)[name]
    end = {
        partition: span.next for partition, span in (await log.spans(topic)).items() if span.next
    }
    if not end:
        return

    def committed(_: Sequence[Any]) -> None:
        with store.snapshot() as snapshot:
            if {p.partition: p.next for p in snapshot.positions(name) if p.topic == topic} == end:
                done.set()

    runner = Runner(
        PROCESSORS[name](settings),
        log,
        store,
        metrics=ProcessorMetrics(CollectorRegistry(), name),
        clock_ms=lambda: NOW_MS,
        committed=committed,
    )
    task = asyncio.create_task(runner.run(stop))
    await asyncio.wait_for(done.wait(), 30)
    stop.set()
    await task


@pytest.mark.parametrize("name", ["orders", "capi", "carts"])
async def test_whichever_statement_fails_the_state_is_the_same(
    name: str, settings: Settings, tmp_path: Path, migrated_sqlite: Path
) -> None:
    assert name in running(settings)
    log = await SqliteLog.open(tmp_path / "log.db")
    await log.append(records(deliveries(VISITS)))
    stores: list[SqlStore] = []
    fails, statements = 0, 0
    while fails <= statements:
        path = tmp_path / f"{fails}.db"
        shutil.copy(migrated_sqlite, path)
        store = SqlStore.open(f"sqlite:///{path}")
        stores.append(store)
        failing = FailingOnce(store, fails)  # The first one never fails.
        await run(name, settings, log, failing)
        statements = max(statements, failing.statements) if not fails else statements
        fails += 1
    assert statements > 5
    with stores[0].snapshot() as reading:
        assert cells_differ(reading) == []
        for store in stores[1:]:
            with store.snapshot() as other:
                assert stores_differ(reading, other) == []
    for store in stores:
        store.close()
    await log.close()
