"""Every kind of destination there is: one line and one folder each."""

from destinations.delivery.protocol import Kind
from destinations.meta.kind import KIND as META

KINDS: dict[str, Kind] = {kind.name: kind for kind in (META,)}
"""By name, in the order in which their processors are started."""
