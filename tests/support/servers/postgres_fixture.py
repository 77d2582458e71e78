"""Fixtures: one PostgreSQL server for the session, an empty database for the test that asks.

`tests/conftest.py` imports them by name. Where the server cannot be started the test is skipped
with the reason (`tests/support/servers/skips.py`).
"""

import itertools
import os
from collections.abc import Iterator

import pytest

from simulator.servers.missing import Missing
from simulator.servers.postgres import PostgresServer

_serial = itertools.count()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server whose disk is not waited for. Tests that restart it leave it running."""
    try:
        server = PostgresServer(durable=False)
        server.start()
    except Missing as missing:
        pytest.skip(str(missing))
    yield server
    server.stop()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of an empty database, dropped after the test."""
    name = f"test_{os.getpid()}_{next(_serial)}"
    yield postgres_server.create_database(name)
    postgres_server.drop_database(name)
