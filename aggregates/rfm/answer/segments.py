"""The 5x5 grid of (R, FM) and its eleven segments (docs/facts/analytics.md, "Segments").

Shopify's names are aliases by the description of its enum `CustomerRfmGroup`; its numeric ranges
are not published, so no parity is claimed (docs/facts/shopify.md, "RFM groups"). PROSPECTS,
customers without an order, has no segment here.
"""

from typing import Final, Literal, TypeAlias, get_args

Segment: TypeAlias = Literal[
    "champions",
    "loyal",
    "potential_loyalist",
    "new",
    "promising",
    "need_attention",
    "about_to_sleep",
    "at_risk",
    "cant_lose",
    "hibernating",
    "lost",
]

SEGMENTS: Final[tuple[Segment, ...]] = get_args(Segment)

SHOPIFY: Final[dict[Segment, str]] = {
    "champions": "CHAMPIONS",
    "loyal": "LOYAL",
    "potential_loyalist": "ACTIVE",
    "new": "NEW",
    "promising": "PROMISING",
    "need_attention": "NEEDS_ATTENTION",
    "about_to_sleep": "ALMOST_LOST",
    "at_risk": "AT_RISK",
    "cant_lose": "PREVIOUSLY_LOYAL",
    "hibernating": "DORMANT",
    "lost": "DORMANT",
}

# Row: R from 1 to 5; column: FM from 1 to 5.
_GRID: Final[tuple[tuple[Segment, ...], ...]] = (
    ("lost", "lost", "at_risk", "at_risk", "cant_lose"),
    ("hibernating", "hibernating", "at_risk", "at_risk", "cant_lose"),
    ("about_to_sleep", "about_to_sleep", "need_attention", "loyal", "loyal"),
    ("promising", "potential_loyalist", "potential_loyalist", "loyal", "loyal"),
    ("new", "potential_loyalist", "potential_loyalist", "champions", "champions"),
)


def fm_score(f: int, m: int) -> int:
    """ceil((F + M) / 2), scores 1 to 5."""
    return (f + m + 1) // 2


def segment_of(r: int, fm: int) -> Segment:
    """The segment of scores R and FM, each 1 to 5."""
    return _GRID[r - 1][fm - 1]


def cells_of(segment: Segment) -> tuple[tuple[int, int], ...]:
    """The (R, FM) pairs of one segment, ascending."""
    return tuple((r, fm) for r in range(1, 6) for fm in range(1, 6) if segment_of(r, fm) == segment)
