"""What tests of the API may ask for: one that answers for a shop with something of everything."""

from collections.abc import AsyncIterator

import pytest

from stream.log.sqlite.log import SqliteLog
from stream.store.sql.store import SqlStore
from tests.support.api.api_client import Api, serving
from tests.support.api.api_shop import fill


@pytest.fixture
async def api(store: SqlStore, log: SqliteLog) -> AsyncIterator[Api]:
    """A shop with customers, a cart, a campaign, and an order on its way to Meta."""
    fill(store)
    async with serving(store, log) as running:
        yield running
