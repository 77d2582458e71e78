"""Amounts in cells: exact while a shop is small, then rounded up to the edge of their bin.

Neighbouring edges differ by at most 2 % (docs/facts/analytics.md, "Bins of money"). Readers need
not know which: `v > cutoff` gives the same for an amount and its edge, since cut-offs are edges
too.
"""

from bisect import bisect_left

RATIO_PERCENT = 102
LIMIT = 10**17


def _edges() -> list[int]:
    edges = [0]
    while edges[-1] < LIMIT:
        edges.append(max(edges[-1] + 1, edges[-1] * RATIO_PERCENT // 100))
    return edges


EDGES = _edges()
"""Upper edges of the bins, minor units, ascending."""


def bin_edge(units: int) -> int:
    """Upper edge of the bin of `units` (minor units): the smallest edge that is not below."""
    return EDGES[bisect_left(EDGES, units)]
