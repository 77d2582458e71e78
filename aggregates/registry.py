"""The registry of aggregates: a new one is one line in `NAMES`, the name of its folder."""

from collections.abc import Mapping
from importlib import import_module
from typing import Final

from aggregates.manifest import FoldSettings, Manifest
from processors.engine.projection import Projection
from processors.orders.currency import CURRENCY

NAMES: Final = (
    "rfm",
    "carts",
    "budget",
    "days",
)
AGGREGATES: Final[tuple[Manifest, ...]] = tuple(
    import_module(f"aggregates.{name}.manifest").MANIFEST for name in NAMES
)


def projections(settings: FoldSettings) -> dict[str, Projection]:
    """Every projection by name; all aggregates need the one of the shop's currency."""
    made = {manifest.name: manifest.projection(settings) for manifest in AGGREGATES}
    return {CURRENCY.name: CURRENCY, **made}


def of_table(made: Mapping[str, Projection], table: str) -> list[Projection]:
    """The projections that count the entities of a table."""
    return [
        projection
        for projection in made.values()
        if any(source.entities.table == table for source in projection.sources)
    ]
