"""What tests of the program may ask for: the settings of one shop, and a second store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orderwire.settings.program import Settings
from simulator.shop.delivery import Delivery
from stream.store.sql.store import SqlStore
from tests.support.servers.migrated_store import write_migrated
from tests.support.shops.shop_fixtures import shop_settings
from tests.support.shops.shop_world import deliveries

__all__ = ["shop_settings"]


@pytest.fixture
def sent(shop_settings: Settings) -> list[Delivery]:
    return deliveries(60)


@pytest.fixture
def other_url(request: pytest.FixtureRequest, tmp_path: Path, store_url: str) -> str:
    """The URL of a second database of the other kind, without a schema."""
    if store_url.startswith("sqlite"):
        url: str = request.getfixturevalue("postgres_url")
        return url
    return f"sqlite:///{tmp_path / 'other.db'}"


@pytest.fixture
def other(request: pytest.FixtureRequest, tmp_path: Path, store_url: str) -> Iterator[SqlStore]:
    """A second, empty store on the other kind of database."""
    opened = SqlStore.open(
        request.getfixturevalue("own_postgres_url")
        if store_url.startswith("sqlite")
        else write_migrated(tmp_path / "other.db")
    )
    yield opened
    opened.close()


@pytest.fixture
def two_files(tmp_path: Path) -> Iterator[tuple[SqlStore, SqlStore]]:
    """Two empty stores, where the kind of database does not matter."""
    opened = [SqlStore.open(write_migrated(tmp_path / name)) for name in ("from.db", "to.db")]
    yield opened[0], opened[1]
    for each in opened:
        each.close()
