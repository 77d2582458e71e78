"""A segment as ranges of recency, orders and money, to list its customers without scoring
everyone."""

from itertools import product
from typing import NamedTuple, TypeAlias

from aggregates.rfm.answer.scores import ScoreCutoffs
from aggregates.rfm.answer.segments import (
    NEW,
    NEW_RECENCY_DAYS,
    Segment,
    fm_score,
    grid_segment,
    segment_of,
)

Range: TypeAlias = tuple[int | None, int | None]  # above, up to and including; None: without limit


class ScoreBox(NamedTuple):
    """Customers with above < value <= upto in each measure.

    `orders` are capped as in cells, `cents` are as cells have them. `newcomer` is 0 or 1 if only
    such customers are meant. All cells of a segment with one last day and one number of orders ask
    for the same `newcomer`.
    """

    recency_days: Range
    orders: Range
    cents: Range
    newcomer: int | None = None


def cell_boxes(cutoffs: ScoreCutoffs, r: int, fm: int) -> list[ScoreBox]:
    """Disjoint boxes that hold exactly the customers with these scores, each 1 to 5."""
    found: list[ScoreBox] = []
    for f in range(1, 6):
        m = [m for m in range(1, 6) if fm_score(f, m) == fm]
        if m:
            found.append(
                ScoreBox(
                    _range(cutoffs.recency_days, 6 - r, 6 - r),
                    _range(cutoffs.frequency, f, f),
                    _range(cutoffs.monetary, m[0], m[-1]),
                )
            )
    return [box for box in found if not _is_empty(box)]


def boxes(cutoffs: ScoreCutoffs, segment: Segment) -> list[ScoreBox]:
    """Disjoint boxes that hold exactly the segment's customers.

    The cut-offs divide each measure into five ranges, and a segment is a union of (R, F, M) cells.
    For one R and one F the M scores of a segment are consecutive, since FM grows with M: at most 25
    boxes, and one or two more if new and returned customers differ.
    """
    found: list[ScoreBox] = []
    for r, f in product(range(1, 6), range(1, 6)):
        m = [m for m in range(1, 6) if _may_be(r, fm_score(f, m), segment)]
        if not m:
            continue
        box = ScoreBox(
            _range(cutoffs.recency_days, 6 - r, 6 - r),
            _range(cutoffs.frequency, f, f),
            _range(cutoffs.monetary, m[0], m[-1]),
        )
        found += _parts(box, segment) if grid_segment(r, fm_score(f, m[0])) == NEW else [box]
    return [box for box in found if not _is_empty(box)]


def _is_empty(box: ScoreBox) -> bool:
    ranges = (box.recency_days, box.orders, box.cents)
    return any(above is not None and upto is not None and above >= upto for above, upto in ranges)


def _may_be(r: int, fm: int, segment: Segment) -> bool:
    """Whether customers with these scores may be of the segment."""
    return segment in {segment_of(r, fm, new=new) for new in (True, False)}


def _parts(box: ScoreBox, segment: Segment) -> list[ScoreBox]:
    """Of the box of the grid's new customers, the new ones, or those who have come back."""
    above, upto = box.recency_days
    lately = upto if upto is not None and upto < NEW_RECENCY_DAYS else NEW_RECENCY_DAYS
    recent = box._replace(recency_days=(above, lately), newcomer=int(segment == NEW))
    if segment == NEW:
        return [recent]
    long_ago = NEW_RECENCY_DAYS if above is None else max(above, NEW_RECENCY_DAYS)
    return [recent, box._replace(recency_days=(long_ago, upto))]


def _range(cuts: tuple[int, ...], first: int, last: int) -> Range:
    return (cuts[first - 2] if first > 1 else None, cuts[last - 1] if last < 5 else None)
