"""The aggregate `budget`: campaigns' cost and earnings, and the budgets that follow."""

from typing import Final

from aggregates.budget.cells import CELLS
from aggregates.budget.fold.spend import SPEND
from aggregates.budget.projection import NAME, VERSION, projection
from aggregates.manifest import Manifest
from processors.engine.feed import Feed

MANIFEST: Final = Manifest(
    name=NAME,
    version=VERSION,
    feeds=(Feed("orders", "orders"), Feed("budget_spend", "spend")),
    projection=lambda _: projection(),
    entities=(SPEND,),
    cells=(CELLS,),
    answers="aggregates.budget.answers",
)
