"""Nothing that an aggregate counts is missing in its manifest, and no manifest in the registry."""

from pathlib import Path

import pytest

import aggregates
from aggregates.budget.fold.spend import SPEND
from aggregates.manifest import FoldSettings, Manifest
from aggregates.registry import AGGREGATES, NAMES
from orderwire.serve.registry import PROCESSORS
from orderwire.settings.program import Settings
from processors.checkouts.link import LINKS
from processors.checkouts.row import CHECKOUTS
from processors.orders.row import ORDERS

ROOM = Path(aggregates.__file__).parent
FOLDED_BY = {
    ORDERS.table: "orders",
    CHECKOUTS.table: "carts",
    LINKS.table: "carts",
    SPEND.table: "budget_spend",
}
"""The processor that writes each table of entities."""


def test_every_folder_with_a_manifest_is_registered() -> None:
    missing = {path.parent.name for path in ROOM.glob("*/manifest.py")} - set(NAMES)
    assert not missing, "name them in NAMES of aggregates/registry.py"


@pytest.mark.parametrize("manifest", AGGREGATES, ids=lambda manifest: manifest.name)
def test_a_manifest_names_every_table_that_its_projection_writes_and_its_version(
    manifest: Manifest,
) -> None:
    projection = manifest.projection(FoldSettings())
    assert (projection.name, projection.version) == (manifest.name, manifest.version)
    assert set(projection.tables) <= {*manifest.entities, *manifest.cells}


@pytest.mark.parametrize("manifest", AGGREGATES, ids=lambda manifest: manifest.name)
def test_a_manifest_names_every_processor_whose_rows_its_projection_counts(
    manifest: Manifest,
) -> None:
    sources = manifest.projection(FoldSettings()).sources
    counted = {FOLDED_BY[source.entities.table] for source in sources}
    assert counted <= {feed.processor for feed in manifest.feeds}
    made = {name: make(Settings.load({})).topic for name, make in PROCESSORS.items()}
    assert {feed.processor: feed.topic for feed in manifest.feeds}.items() <= made.items()
