"""The 5x5 grid of (R, FM) and its eleven segments (docs/facts/analytics.md, "Segments")."""

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
"""Aliases by the description of Shopify's enum `CustomerRfmGroup`. Its numeric ranges are not
published, so no parity is claimed (docs/facts/shopify.md, "RFM groups"); PROSPECTS, customers
without an order, has no segment here."""

NEW: Final[Segment] = "new"
RETURNED: Final[Segment] = "promising"
NEW_RECENCY_DAYS: Final = 60
"""With a first order at most 30 days before the last, a new customer's is at most 90 days ago."""

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


def grid_segment(r: int, fm: int) -> Segment:
    """The segment of scores R and FM, each 1 to 5; of customers at `new`, those who are new."""
    return _GRID[r - 1][fm - 1]


def segment_of(r: int, fm: int, *, new: bool) -> Segment:
    """The segment of a customer with scores R and FM; `new` as `is_new` has it.

    A customer who returns after a long time has a new customer's scores in the window, and is
    promising.
    """
    segment = grid_segment(r, fm)
    return RETURNED if segment == NEW and not new else segment


def is_new(newcomer: bool, recency_days: int) -> bool:
    """Whether the first order ever is recent; `newcomer` as the fold's `is_newcomer` has it."""
    return newcomer and recency_days <= NEW_RECENCY_DAYS
