"""Fixtures of the tests of the CAPI sender, for `pytest_plugins`."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from destinations.delivery.transport import client_session
from stream.store.sql.store import SqlStore
from tests.support.delivery.sender_bench import Bench
from tests.support.servers.migrated_store import write_migrated


@pytest.fixture
def quick_store(tmp_path: Path) -> Iterator[SqlStore]:
    """SQLite only: what the databases do differently is in test_capi_outbox, and the long script at
    the end runs on both."""
    opened = SqlStore.open(write_migrated(tmp_path / "quick.db"))
    yield opened
    opened.close()


@pytest.fixture
def bench(quick_store: SqlStore) -> Bench:
    return Bench(quick_store)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with client_session() as opened:
        yield opened
