"""What tests of the program may ask for: the settings of one shop, and a second store."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from orderwire.settings.program import Settings
from simulator.shop.delivery import Delivery
from stream.store.sql.store import SqlStore
from tests.support.shops.shop_fixtures import shop_settings
from tests.support.shops.shop_world import deliveries

__all__ = ["shop_settings"]


@pytest.fixture
def sent(shop_settings: Settings) -> list[Delivery]:
    return deliveries(60)


@pytest.fixture
def other_url(tmp_path: Path, postgres_url: str, store_url: str) -> str:
    """The URL of a second, empty store on the other kind of database."""
    return postgres_url if store_url.startswith("sqlite") else f"sqlite:///{tmp_path / 'other.db'}"


@pytest.fixture
def other(other_url: str) -> Iterator[SqlStore]:
    opened = SqlStore.open(other_url)
    yield opened
    opened.close()


@pytest.fixture
def two_files(tmp_path: Path, migrated_sqlite: Path) -> Iterator[tuple[SqlStore, SqlStore]]:
    """Two empty stores, where the kind of database does not matter."""
    opened = []
    for name in ("from.db", "to.db"):
        shutil.copy(migrated_sqlite, tmp_path / name)
        opened.append(SqlStore.open(f"sqlite:///{tmp_path / name}"))
    yield opened[0], opened[1]
    for each in opened:
        each.close()
