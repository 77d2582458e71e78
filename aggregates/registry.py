"""Every aggregate there is: a new one is one line in `AGGREGATES`."""

from collections.abc import Mapping
from typing import Final

from aggregates.budget.manifest import MANIFEST as BUDGET
from aggregates.carts.manifest import MANIFEST as CARTS
from aggregates.manifest import FoldSettings, Manifest
from aggregates.rfm.manifest import MANIFEST as RFM
from processors.engine.projection import Projection
from processors.orders.currency import CURRENCY

AGGREGATES: Final[tuple[Manifest, ...]] = (
    RFM,
    CARTS,
    BUDGET,
)


def projections(settings: FoldSettings) -> dict[str, Projection]:
    """Every projection by name; the shop's currency is one that all aggregates need."""
    made = {manifest.name: manifest.projection(settings) for manifest in AGGREGATES}
    return {CURRENCY.name: CURRENCY, **made}


def of_table(made: Mapping[str, Projection], table: str) -> list[Projection]:
    """Those that count the entities of a table."""
    return [
        projection
        for projection in made.values()
        if any(source.entities.table == table for source in projection.sources)
    ]
