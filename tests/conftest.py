"""What every test may ask for: an empty store on each database, and an empty log."""

import gc
import itertools
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings

from simulator.servers.postgres import PostgresServer
from stream.log.sqlite.log import SqliteLog
from stream.log.sqlite.opening import prepare
from stream.store.sql.store import SqlStore
from tests.support.servers.kafka_fixture import broker_to_kill, kafka_broker, session_broker
from tests.support.servers.migrated_store import write_migrated
from tests.support.servers.postgres_fixture import postgres_server, postgres_url
from tests.support.servers.shared_database import SharedDatabase
from tests.support.servers.skips import pytest_runtest_makereport

__all__ = [
    "broker_to_kill",
    "kafka_broker",
    "postgres_server",
    "postgres_url",
    "pytest_runtest_makereport",
    "session_broker",
]

TESTS = Path(__file__).parent
Item = TypeVar("Item")
_serial = itertools.count()

# No example has a time limit: 200 ms are a pause of a busy machine, not a fault of ours. The rest
# is as hypothesis has it: with CI set the same examples each time, elsewhere others.
settings.register_profile(
    "without deadlines",
    settings.default,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("without deadlines")

# Every full collection would walk what pytest and the imports made: a sixth of the CPU of tests
# that run in its process. What tests leave behind is still collected, in larger portions.
gc.set_threshold(20_000, 20, 20)
gc.disable()  # while tests are imported, which leaves nothing behind


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Exempt the collected tests and all imported modules from garbage collection."""
    gc.freeze()
    gc.enable()


def pytest_configure(config: pytest.Config) -> None:
    """Each worker of pytest-xdist begins to collect elsewhere. Together they would all compile the
    same module at the same time; so each finds compiled what the others began with."""
    worker = getattr(config, "workerinput", None)
    if worker is None or config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return
    folders = [each for each in TESTS.iterdir() if each.is_dir() and each.name != "__pycache__"]
    parts = sorted(map(str, [*folders, *TESTS.glob("test_*.py")]))
    first = len(parts) * int(worker["workerid"].removeprefix("gw")) // worker["workercount"]
    config.args = [*parts[first:], *parts[:first]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the broker come first, those that kill it before all others, and chaos next: these
    take minutes, and begun late they would end last. pytest-xdist gives each worker a part of the
    list as it stands, and one that is done takes from the end of another's: so one worker has all
    tests of the broker, and starts the only one."""
    items.sort(key=lambda item: item.path)  # Workers collect in orders of their own.
    on_kafka = [item for item in items if "kafka_broker" in getattr(item, "fixturenames", ())]
    on_kafka.sort(key=lambda item: "broker_to_kill" not in getattr(item, "fixturenames", ()))
    chaos = [item for item in items if "tests/system/test_chaos" in item.nodeid]
    first = {*on_kafka, *chaos}
    others = [item for item in items if item not in first]
    system = spread(others, lambda item: "tests/system/" in item.nodeid)
    items[:] = [*on_kafka, *chaos, *system]


def spread(items: Sequence[Item], waits: Callable[[Item], bool]) -> list[Item]:
    """Tests that mostly wait, evenly among the first three quarters of those that compute: then
    the workers of pytest-xdist seldom wait all at once, and not at the end."""
    waiting = [item for item in items if waits(item)]
    others = [item for item in items if not waits(item)]
    places = [len(others) * 3 * number // (4 * len(waiting)) for number in range(len(waiting))]
    for place, item in zip(reversed(places), reversed(waiting), strict=True):
        others.insert(place, item)
    return others


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty store file with the schema in it, to copy."""
    path = tmp_path_factory.mktemp("store") / "state.db"
    write_migrated(path)
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """Name of a migrated database that nobody connects to: migrating takes 1 s, a copy 0.1 s."""
    name = f"template_{os.getpid()}"
    SqlStore.open(postgres_server.create_database(name)).close()
    return name


@pytest.fixture(scope="session")
def migrated_postgres(
    postgres_server: PostgresServer, postgres_template: str
) -> Iterator[SharedDatabase]:
    """The database that `store_url` uses; emptying its tables takes a few ms."""
    name = f"migrated_{os.getpid()}"
    shared = SharedDatabase(postgres_server.create_database(name, like=postgres_template))
    yield shared
    shared.close()


@pytest.fixture
def own_postgres_url(postgres_server: PostgresServer, postgres_template: str) -> Iterator[str]:
    """URL of an empty database with the schema, of this test only."""
    name = f"own_{os.getpid()}_{next(_serial)}"
    yield postgres_server.create_database(name, like=postgres_template)
    postgres_server.drop_database(name)


@pytest.fixture
def migrated_postgres_url(migrated_postgres: SharedDatabase) -> Iterator[str]:
    """URL of an empty database with the schema, emptied again after the test."""
    yield migrated_postgres.url
    migrated_postgres.empty()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path, migrated_sqlite: Path) -> str:
    """The URL of an empty store, on each database in turn."""
    if request.param == "sqlite":
        shutil.copy(migrated_sqlite, tmp_path / "state.db")
        return f"sqlite:///{tmp_path / 'state.db'}"
    url: str = request.getfixturevalue("migrated_postgres_url")
    return url


@pytest.fixture
def store(request: pytest.FixtureRequest, store_url: str) -> Iterator[SqlStore]:
    """An empty store, on each database in turn."""
    if store_url.startswith("postgresql"):
        shared: SharedDatabase = request.getfixturevalue("migrated_postgres")
        if shared.url == store_url:
            yield shared.store()
            return
    opened = SqlStore.open(store_url)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def empty_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an empty log, to copy: making one syncs the disk so often that it takes 20 ms."""
    path = tmp_path_factory.mktemp("log") / "log.db"
    prepare(path, timeout_s=10.0, setting="")
    return path


@pytest.fixture
async def log(tmp_path: Path, empty_log: Path) -> AsyncIterator[SqliteLog]:
    """An empty log in a file of its own, the one that `shop_settings` names."""
    shutil.copyfile(empty_log, tmp_path / "log.db")
    opened = await SqliteLog.open(tmp_path / "log.db")
    yield opened
    await opened.close()
