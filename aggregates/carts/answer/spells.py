"""Idle spells from cells: the basis of a shop's hazards and of the factor common to its carts."""

from typing import Any, Final

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
    value_bin, returning, age, completed, not_completed = columns(
        snapshot.query(
            "SELECT value_bin, is_returning, age, completed, not_completed FROM cart_spell"
            " WHERE shop = :shop AND currency = :currency",
            **scope,
        ),
        5,
    )
    ages = len(EDGES_H)
    cell = stratum_of(value_bin, returning, band_ends) * ages + age
    done = summed(cell, completed, STRATA * ages).reshape(STRATA, ages)
    left = summed(cell, not_completed, STRATA * ages).reshape(STRATA, ages)
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
    day, age, carts, completed = columns(
        snapshot.query(
            "SELECT day, age, carts, completed FROM cart_landmark WHERE shop = :shop"
            " AND currency = :currency AND day > :oldest AND day <= :newest AND carts > 0",
            oldest=oldest,
            newest=newest,
            **scope,
        ),
        4,
    )
    # Carts still open have been idle since their last touch, and were not completed in 7 days.
    since = open_carts.bucket * BUCKET_MS
    midnights = (since // DAY_MS + 1)[:, None] + np.arange(RECOVERY_MS // DAY_MS)[None, :]
    idle_ms = midnights * DAY_MS - since[:, None]
    known = (idle_ms < RECOVERY_MS) & (midnights <= newest) & (midnights > oldest)
    still = np.broadcast_to(open_carts.carts[:, None], known.shape)[known]
    bin_of = np.searchsorted(EDGES_H, idle_ms[known] / HOUR_MS, side="right") - 1
    days = np.concatenate((day, midnights[known])) - oldest - 1
    cell = days * INTERVALS + np.concatenate((age, bin_of))
    size = LANDMARK_DAYS * INTERVALS
    idle = summed(cell, np.concatenate((carts, still)), size)
    done = summed(cell, np.concatenate((completed, np.zeros_like(still))), size)
    seen = idle.reshape(-1, INTERVALS).sum(axis=1) > 0
    return idle.reshape(-1, INTERVALS)[seen], done.reshape(-1, INTERVALS)[seen]
