"""The registry of destination kinds: one line and one folder each."""

from destinations.delivery.protocol import Kind
from destinations.meta.kind import KIND as META
from destinations.webhook.kind import KIND as WEBHOOK

KINDS: dict[str, Kind] = {kind.name: kind for kind in (META, WEBHOOK)}
"""By name, in the order in which their processors are started."""
