"""A segment as ranges of recency, orders and money: the predicate for listing its customers without scoring everyone.

The cut-offs divide each measure into five ranges; a segment is a union of (R, F, M) cells, hence of boxes. For one R and one F
the M scores that lead to a segment are consecutive, since FM grows with M, so a segment has at most 25 boxes; boxes that ties
between cut-offs leave empty are left out.
"""

from itertools import product
from typing import NamedTuple, TypeAlias

from aggregates.rfm.answer.scores import Cutoffs
from aggregates.rfm.answer.segments import Segment, fm_score, segment_of

Range: TypeAlias = tuple[int | None, int | None]  # above, up to and including; None: without limit


class Box(NamedTuple):
    """Customers with above < value <= upto in each measure; `orders` as capped at 32, `cents` as cells carry them."""

    recency_days: Range
    orders: Range
    cents: Range


def boxes(cutoffs: Cutoffs, segment: Segment) -> list[Box]:
    """Disjoint boxes that hold exactly the segment's customers."""
    found = []
    for r, f in product(range(1, 6), range(1, 6)):
        m = [m for m in range(1, 6) if segment_of(r, fm_score(f, m)) == segment]
        if not m:
            continue
        box = Box(
            _range(cutoffs.recency_days, 6 - r, 6 - r),
            _range(cutoffs.frequency, f, f),
            _range(cutoffs.monetary, m[0], m[-1]),
        )
        if all(above is None or upto is None or above < upto for above, upto in box):
            found.append(box)
    return found


def _range(cuts: tuple[int, ...], first: int, last: int) -> Range:
    return (cuts[first - 2] if first > 1 else None, cuts[last - 1] if last < 5 else None)
