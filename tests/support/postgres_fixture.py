"""Fixtures: one PostgreSQL server for the session, an empty database for the test that asks.

`tests/conftest.py` imports them by name. Where the server cannot be started the test is skipped with the reason, and fails with CI=true.
"""

import itertools
import os
from collections.abc import Iterator

import pytest

from simulator.servers.missing import Missing
from simulator.servers.postgres import Postgres

_serial = itertools.count()


def unavailable(reason: str) -> None:
    """Skip, or fail where the continuous integration promised that everything is there."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A server whose disk is not waited for. Tests that restart it leave it running."""
    try:
        server = Postgres(durable=False)
        server.start()
    except Missing as missing:
        unavailable(str(missing))
        raise
    yield server
    server.stop()


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> Iterator[str]:
    """The URL of an empty database, dropped after the test."""
    name = f"test_{os.getpid()}_{next(_serial)}"
    yield postgres_server.create_database(name)
    postgres_server.drop_database(name)
