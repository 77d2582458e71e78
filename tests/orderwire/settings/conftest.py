"""Tests of settings see no setting of the machine they run on."""

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("ORDERWIRE_", "SHOPIFY_", "META_", "AD_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
