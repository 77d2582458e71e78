"""The fixture of the command tests, for `pytest_plugins`: the environment of one shop."""

from pathlib import Path

import pytest

from orderwire.settings.program import Settings
from tests.support.shops.shop_world import VARIABLES


@pytest.fixture
def shop_settings(tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The environment of one shop, in a folder of its own; the store is the test's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORDERWIRE_STORE_URL", store_url)
    monkeypatch.setenv("ORDERWIRE_LOG_URL", f"sqlite:///{tmp_path / 'log.db'}")
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    return Settings.load()
