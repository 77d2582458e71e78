"""Shop-days by channel, country and campaign, and cohorts of customers."""

from typing import Final

from aggregates.days.fold.cells import COHORT_CELLS, DAY_CELLS, FIRSTS, MONTHS
from aggregates.days.fold.projection import NAME, VERSION, projection
from aggregates.manifest import Manifest
from processors.engine.feed import Feed

MANIFEST: Final = Manifest(
    name=NAME,
    version=VERSION,
    feeds=(Feed("orders", "orders"), Feed("budget_spend", "spend"), Feed("carts", "checkouts")),
    projection=lambda _: projection(),
    entities=(FIRSTS, MONTHS),
    cells=(DAY_CELLS, COHORT_CELLS),
    answers="aggregates.days.answers",
)
