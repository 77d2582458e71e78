"""Idle spells from cells: the basis of a shop's hazards and of the factor common to its carts."""

from typing import Any, Final, NamedTuple

import numpy as np

from aggregates.arrays import Ints
from aggregates.carts.answer.histogram import (
    STRATA,
    Open,
    columns,
    stratum_of,
    summed,
)
from aggregates.carts.answer.survival import EDGES_H, INTERVALS, Spells, spells_with_open
from aggregates.carts.cells import RECOVERY_MS
from processors.checkouts.idle import BUCKET_MS, DAY_MS, HOUR_MS
from stream.store.contract import Snapshot

LANDMARK_DAYS: Final = 80
"""Midnights older than this lack checkouts that are already deleted."""


class _SpellColumns(NamedTuple):
    """Columns of `cart_spell`."""

    value_bin: Ints
    is_returning: Ints
    age: Ints
    completed: Ints
    not_completed: Ints


class _LandmarkColumns(NamedTuple):
    """Columns of `cart_landmark`."""

    day: Ints
    age: Ints
    carts: Ints
    completed: Ints


def spells(
    snapshot: Snapshot,
    scope: dict[str, Any],
    band_ends: tuple[int, int],
    open_carts: Open,
    expired: Ints,
) -> Spells:
    """All spells of the shop: ended ones, those of open carts, and `expired`, [strata].

    The expired ones are open carts that are not closed yet: they outlived every interval.
    """
    ended = columns(
        snapshot.query(
            "SELECT value_bin, is_returning, age, completed, not_completed FROM cart_spell"
            " WHERE shop = :shop AND currency = :currency",
            **scope,
        ),
        _SpellColumns,
    )
    ages = len(EDGES_H)
    cell = stratum_of(ended.value_bin, ended.is_returning, band_ends) * ages + ended.age
    done = summed(cell, ended.completed, STRATA * ages).reshape(STRATA, ages)
    left = summed(cell, ended.not_completed, STRATA * ages).reshape(STRATA, ages)
    reached = (done + left)[:, ::-1].cumsum(axis=1)[:, ::-1] + expired[:, None]
    return spells_with_open(
        done[:, :INTERVALS],
        left[:, :INTERVALS],
        reached[:, :INTERVALS],
        open_carts.histogram(open_carts.carts),
    )


def landmarks(
    snapshot: Snapshot, scope: dict[str, Any], open_carts: Open, now_ms: int
) -> tuple[Ints, Ints]:
    """Carts idle and carts completed, [midnights, ages], of the midnights that are 7 days old."""
    newest = (now_ms - RECOVERY_MS) // DAY_MS
    oldest = newest - LANDMARK_DAYS
    seen_at = columns(
        snapshot.query(
            "SELECT day, age, carts, completed FROM cart_landmark WHERE shop = :shop"
            " AND currency = :currency AND day > :oldest AND day <= :newest AND carts > 0",
            oldest=oldest,
            newest=newest,
            **scope,
        ),
        _LandmarkColumns,
    )
    # Carts still open have been idle since their last touch, and were not completed in 7 days.
    since = open_carts.bucket * BUCKET_MS
    midnights = (since // DAY_MS + 1)[:, None] + np.arange(RECOVERY_MS // DAY_MS)[None, :]
    idle_ms = midnights * DAY_MS - since[:, None]
    known = (idle_ms < RECOVERY_MS) & (midnights <= newest) & (midnights > oldest)
    still = np.broadcast_to(open_carts.carts[:, None], known.shape)[known]
    bin_of = np.searchsorted(EDGES_H, idle_ms[known] / HOUR_MS, side="right") - 1
    days = np.concatenate((seen_at.day, midnights[known])) - oldest - 1
    cell = days * INTERVALS + np.concatenate((seen_at.age, bin_of))
    size = LANDMARK_DAYS * INTERVALS
    idle = summed(cell, np.concatenate((seen_at.carts, still)), size)
    done = summed(cell, np.concatenate((seen_at.completed, np.zeros_like(still))), size)
    seen = idle.reshape(-1, INTERVALS).sum(axis=1) > 0
    return idle.reshape(-1, INTERVALS)[seen], done.reshape(-1, INTERVALS)[seen]
