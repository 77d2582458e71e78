"""Every destination there is: a new one is one line in `NAMES`, the name of its folder."""

from importlib import import_module
from typing import Final

from destinations.delivery.protocol import Kind

NAMES: Final = (
    "meta",
    "webhook",
)
KINDS: Final[dict[str, Kind]] = {
    name: import_module(f"destinations.{name}.kind").KIND for name in NAMES
}
"""By name, in the order in which their processors are started."""
