"""Orders the states of one object: by `updated_at`, then `X-Shopify-Triggered-At`, then progress,
then the body's digest. `updated_at` has a resolution of one second, too coarse for creation and
payment of one order (docs/facts/shopify.md, "Versions of one object")."""

from datetime import datetime
from typing import Final, NamedTuple

from processors.shopify.tolerance import micros
from stream.record import Record
from stream.tracing import digest_of

STATUSES: Final = (
    "pending",
    "authorized",
    "partially_paid",
    "paid",
    "partially_refunded",
    "refunded",
    "voided",
)
"""`financial_status` in the order of an order's life; any other comes first."""


class Version(NamedTuple):
    """Compares as a tuple."""

    updated_us: int
    triggered: str
    """When the delivery was triggered, in a form that sorts; "" where it did not say."""
    digest: str
    """One digit of how far on the state is, then the body's digest."""


def version_of(record: Record, updated: datetime, progress: int = 0) -> Version:
    """The version of the state in `record`; `progress` is 0 to 9."""
    return Version(
        micros(updated),
        sortable(record.headers.get("triggered_at", "")),
        f"{progress}{digest_of(record.body)}",
    )


def progress(financial_status: str, *, cancelled: bool) -> int:
    """How far an order has progressed."""
    known = STATUSES.index(financial_status) + 1 if financial_status in STATUSES else 0
    return len(STATUSES) + 1 if cancelled else known


def sortable(triggered_at: str) -> str:
    """An RFC 3339 time in UTC with all nanoseconds: Shopify omits closing zeros, and "...27.5Z" is
    not after "...27.52Z"."""
    if not triggered_at.endswith("Z"):
        return triggered_at
    seconds, _, fraction = triggered_at[:-1].partition(".")
    return f"{seconds}.{fraction:0<9}Z"
