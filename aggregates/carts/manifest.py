"""The aggregate `carts`: abandoned carts, and their recoverable value."""

from typing import Final

from aggregates.carts.projection import NAME, TABLES, VERSION, projection
from aggregates.manifest import Manifest
from processors.engine.feed import Feed

MANIFEST: Final = Manifest(
    name=NAME,
    version=VERSION,
    feeds=(Feed("carts", "checkouts"), Feed("orders", "orders")),
    projection=lambda _: projection(),
    entities=(),
    cells=TABLES,
    answers="aggregates.carts.answers",
)
