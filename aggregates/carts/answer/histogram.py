"""Open checkouts as a histogram of 10-minute buckets of the last touch, by value bin and
customer."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np

from aggregates.arrays import Bools, Floats, Ints
from aggregates.carts.answer.survival import OPEN_BUCKETS
from processors.checkouts.idle import BUCKET_MS, MINUTE_MS
from processors.checkouts.state import EXPIRES_MS
from stream.store.contract import Snapshot

Columns = TypeVar("Columns", bound=tuple[Ints, ...])
"""A NamedTuple of arrays."""
SHOPIFY_MINUTES: Final = 10
BANDS: Final = ("low", "mid", "high")
CUSTOMERS: Final = ("new", "returning")
STRATA: Final = len(BANDS) * len(CUSTOMERS)
"""A stratum's number is 2 band + returning."""


@dataclass(frozen=True, slots=True)
class Open:
    """Cells of open, unexpired checkouts, arrays of one length; `value` in minor units."""

    bucket: Ints
    value_bin: Ints
    returning: Ints
    age: Ints
    """In buckets, 0 to 2015."""
    stratum: Ints
    abandoned: Bools
    """Idle for T at this moment."""
    carts: Ints
    value: Ints

    def histogram(self, measure: Ints, only: Bools | None = None) -> Ints:
        """`measure` summed to [strata, buckets of age], of those cells `only`."""
        chosen = self.carts > 0 if only is None else only
        cell = self.stratum[chosen] * OPEN_BUCKETS + self.age[chosen]
        return summed(cell, measure[chosen], STRATA * OPEN_BUCKETS).reshape(STRATA, OPEN_BUCKETS)


def bin_bounds(value_bin: int) -> tuple[int, int]:
    """The smallest and the largest amount (minor units) of a value bin."""
    if value_bin <= 0:
        return 0, 0
    octave, quarter = divmod(value_bin - 1, 4)
    return -(-((4 + quarter) << octave) // 4), -(-((5 + quarter) << octave) // 4) - 1


class OpenColumns(NamedTuple):
    """Open checkouts, arrays of one length."""

    bucket: Ints
    value_bin: Ints
    is_returning: Ints
    contact: Ints
    idled: Ints
    idle_10: Ints
    """Idle for 10 minutes, 0 or 1."""
    idle_t: Ints
    """Idle for T, 0 or 1."""
    expired: Ints
    """Idle for 14 days, 0 or 1."""
    carts: Ints
    value: Ints


class _OpenCells(NamedTuple):
    """Columns of `cart_open`."""

    bucket: Ints
    value_bin: Ints
    is_returning: Ints
    contact: Ints
    idled: Ints
    carts: Ints
    value: Ints


def open_columns(
    snapshot: Snapshot,
    scope: dict[str, Any],
    counted: dict[str, Any],
    now_ms: int,
    after_ms: int,
) -> OpenColumns:
    """The shop's open checkouts.

    The bucket says how long its checkouts have been idle, except for the three buckets that contain
    one of these edges: those are read from the checkouts, by index, so every count is exact.
    """
    cuts = [now_ms - SHOPIFY_MINUTES * MINUTE_MS, now_ms - after_ms, now_ms - EXPIRES_MS]
    edges = [cut // BUCKET_MS for cut in cuts]
    named = {f"e{i}": edge for i, edge in enumerate(edges)} | {
        f"c{i}": cut for i, cut in enumerate(cuts)
    }
    cells = columns(
        snapshot.query(
            "SELECT bucket, value_bin, is_returning, contact, idled, carts, value FROM cart_open"
            " WHERE shop = :shop AND currency = :currency AND carts > 0",
            **counted,
        ),
        _OpenCells,
    )
    whole = ~np.isin(cells.bucket, edges)
    idle_10, idle_t, expired = ((cells.bucket[whole] < edge).astype(np.int64) for edge in edges)
    on_edge = columns(
        snapshot.query(
            "SELECT open_bucket AS bucket, value_bin, is_returning, contact, idled,"
            " CASE WHEN last_ms <= :c0 THEN 1 ELSE 0 END AS idle_10,"
            " CASE WHEN last_ms <= :c1 THEN 1 ELSE 0 END AS idle_t,"
            " CASE WHEN last_ms <= :c2 THEN 1 ELSE 0 END AS expired,"
            " COUNT(*) AS carts, CAST(SUM(value) AS BIGINT) AS value FROM cart_checkout"
            " WHERE open_bucket >= 0 AND open_bucket IN (:e0, :e1, :e2) AND shop = :shop"
            " AND currency = :currency GROUP BY 1, 2, 3, 4, 5, 6, 7, 8",
            **scope,
            **named,
        ),
        OpenColumns,
    )
    inside = OpenColumns(
        bucket=cells.bucket[whole],
        value_bin=cells.value_bin[whole],
        is_returning=cells.is_returning[whole],
        contact=cells.contact[whole],
        idled=cells.idled[whole],
        idle_10=idle_10,
        idle_t=idle_t,
        expired=expired,
        carts=cells.carts[whole],
        value=cells.value[whole],
    )
    return OpenColumns(*(np.concatenate(pair) for pair in zip(inside, on_edge, strict=True)))


def columns(rows: Sequence[Any], kind: type[Columns]) -> Columns:
    """Rows of whole numbers as one array per field of `kind`, each by its name."""
    names: tuple[str, ...] = kind._fields  # type: ignore[attr-defined]
    return kind(*(np.fromiter(map(attrgetter(name), rows), np.int64, len(rows)) for name in names))


def summed(cell: Ints, measure: Ints, size: int) -> Ints:
    """`measure` summed by cell number, [size]; exact below 2**53."""
    by_cell: Floats = np.bincount(cell, measure, size).astype(np.float64)
    return np.rint(by_cell).astype(np.int64)


def stratum_of(value_bin: Ints, returning: Ints, band_ends: tuple[int, int]) -> Ints:
    """The stratum of each cell; `band_ends` are the last value bins of low and mid."""
    band = (value_bin > band_ends[0]).astype(np.int64) + (value_bin > band_ends[1])
    return 2 * band + returning
