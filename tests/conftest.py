"""What every test may ask for: a store on each database, an empty one each time."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from stream.sql_store import SqlStore
from tests.kafka_fixture import kafka_broker
from tests.postgres_fixture import postgres_server, postgres_url

__all__ = ["kafka_broker", "postgres_server", "postgres_url"]


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store file with the schema in it: migrating once is 0.3 s, copying it is nothing."""
    path = tmp_path_factory.mktemp("store") / "state.db"
    SqlStore.open(f"sqlite:///{path}").close()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path, migrated_sqlite: Path) -> str:
    """The URL of an empty store, on each database in turn."""
    if request.param == "sqlite":
        shutil.copy(migrated_sqlite, tmp_path / "state.db")
        return f"sqlite:///{tmp_path / 'state.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def store(store_url: str) -> Iterator[SqlStore]:
    """An empty store, on each database in turn."""
    opened = SqlStore.open(store_url)
    yield opened
    opened.close()
