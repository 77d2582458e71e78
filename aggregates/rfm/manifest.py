"""The aggregate `rfm`: customers by recency, frequency and monetary value, and their expected
value."""

from typing import Final

from aggregates.manifest import FoldSettings, Manifest
from aggregates.rfm.fold.batch import EARLY
from aggregates.rfm.fold.customer import CUSTOMERS, DAYS
from aggregates.rfm.fold.order import LEFT_OUT_CELLS
from aggregates.rfm.fold.projection import NAME, OF_CUSTOMERS, VERSION, RfmFold
from aggregates.rfm.fold.shop import SHOPS
from processors.engine.feed import Feed
from processors.engine.projection import Projection


def _projection(settings: FoldSettings) -> Projection:
    return RfmFold(settings.zones, settings.currencies, settings.rfm_window_days).projection()


MANIFEST: Final = Manifest(
    name=NAME,
    version=VERSION,
    feeds=(Feed("orders", "orders"),),
    projection=_projection,
    entities=(SHOPS, EARLY, DAYS, CUSTOMERS),
    cells=(*OF_CUSTOMERS, LEFT_OUT_CELLS),
    answers="aggregates.rfm.answers",
)
