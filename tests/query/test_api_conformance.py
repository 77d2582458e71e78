"""No request that the OpenAPI document allows, and none that it forbids, gets an answer that the
document does not describe, or a 5xx.

schemathesis makes the requests: 10 that are valid and 10 that are not for each operation, the same
ones in every run. Making them takes most of the CPU, so each is sent to two shops: one without data
and one with some of everything.
"""

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from stream.log.sqlite.log import SqliteLog
from stream.store.sql.store import SqlStore
from tests.support.api.api_client import serving
from tests.support.api.api_shop import fill
from tests.support.servers.migrated_store import write_migrated


@pytest.fixture
def two_stores(tmp_path: Path) -> Iterator[tuple[SqlStore, SqlStore]]:
    """Two empty stores on SQLite: the document is one for every database."""
    with (
        closing(SqlStore.open(write_migrated(tmp_path / "one.db"))) as one,
        closing(SqlStore.open(write_migrated(tmp_path / "two.db"))) as two,
    ):
        yield one, two


async def test_every_answer_is_one_that_the_document_describes(
    log: SqliteLog, two_stores: tuple[SqlStore, SqlStore]
) -> None:
    from tests.support.api.conformance import exercise

    without_data, with_data = two_stores
    fill(with_data)
    async with serving(without_data, log) as empty, serving(with_data, log) as filled:
        urls = [str(api.client.make_url("")).rstrip("/") for api in (empty, filled)]
        asked = await asyncio.to_thread(exercise, urls)
    assert set(asked) >= {"/v1/rfm", "/v1/carts/open", "/v1/budget", "/v1/capi/retry"}
    assert all(asked.values())
