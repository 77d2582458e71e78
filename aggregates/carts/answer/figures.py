"""A shop's carts at one moment: turns cells into the figures of answers."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from aggregates.arrays import Floats, Ints, total
from aggregates.carts.answer.histogram import (
    SHOPIFY_MINUTES,
    STRATA,
    Open,
    columns,
    open_columns,
    stratum_of,
    summed,
)
from aggregates.carts.answer.recovery import realised_share
from aggregates.carts.answer.spells import spells
from aggregates.carts.answer.survival import (
    OPEN_BUCKETS,
    Hazards,
    completion_probability,
    hazards,
)
from aggregates.carts.cells import NOT_RECOVERED
from aggregates.carts.projection import NAME
from processors.checkouts.idle import BUCKET_MS, HOUR_MS, MINUTE_MS
from processors.engine.projection import live_key
from processors.orders.currency import currency_of_most
from stream.store.contract import Snapshot

ABANDONED_STATES: Final = ("recovered_direct", "recovered_assisted", "expired")
CLOSED_STATES: Final = ("completed", *ABANDONED_STATES)


@dataclass(frozen=True, slots=True)
class CartSettings:
    """A merchant's settings."""

    abandoned_after_minutes: int = 60
    """As given to the processors: a multiple of 10."""
    currency: str | None = None
    """The shop's; where not set, that of most checkouts."""


@dataclass(frozen=True, slots=True)
class Abandoned:
    """`carts` that were abandoned, of all `of` old enough to have been."""

    carts: int
    of: int


@dataclass(frozen=True, slots=True)
class Figures:
    """One shop at one moment. Money in minor units of `currency`.

    Value bands are thirds of all checkouts kept (90 days), drawn through bins of a quarter octave:
    low holds the first third and the rest of its last bin. Open checkouts in another currency (a
    foreign buyer's) are left out of sums, rates and bands, and counted; once ordered they count
    with the order's amount.
    """

    currency: str
    other_currencies: dict[str, int]
    states: dict[str, tuple[int, int]]
    """State -> carts, value."""
    abandoned: Abandoned
    abandoned_shopify: Abandoned
    recovered_revenue: int
    cohort_hour: Ints
    cohort_outcome: Ints
    cohort_carts: Ints
    """Abandoned checkouts by hour of abandonment and outcome (`aggregates/carts/cells.py`)."""
    hazard: Hazards
    rho: Floats
    """[strata]: paid over carted value of completed checkouts."""
    band_ends: tuple[int, int]
    """The last value bins of low and mid."""
    open: Open

    def probability(self) -> Floats:
        """[strata, buckets of age]: P(ordered within 7 days | idle at the bucket's middle age)."""
        age_h = (np.arange(OPEN_BUCKETS) + 0.5) * BUCKET_MS / HOUR_MS
        return completion_probability(self.hazard, age_h)


def currencies(snapshot: Snapshot, shop: str) -> dict[str, int]:
    """How many checkouts are in which currency, most first."""
    rows = snapshot.query(
        "SELECT currency, CAST(SUM(carts) AS BIGINT) AS carts"
        " FROM (SELECT currency, carts FROM cart_open WHERE shop = :shop"
        " UNION ALL SELECT currency, carts FROM cart_closed WHERE shop = :shop) AS counted"
        " GROUP BY currency HAVING SUM(carts) > 0 ORDER BY 2 DESC, 1",
        shop=live_key(snapshot, shop, NAME),
    )
    return {str(currency): int(carts) for currency, carts in rows}


def _currency_of_newest(snapshot: Snapshot, shop: str) -> str:
    """The currency of most of the shop's newest checkouts, for a shop without any order."""
    rows = snapshot.query(
        "SELECT shop_currency FROM (SELECT shop_currency FROM cart_checkout WHERE shop = :shop"
        " AND shop_currency <> '' ORDER BY created_ms DESC LIMIT :newest) AS newest"
        " GROUP BY shop_currency ORDER BY COUNT(*) DESC, shop_currency LIMIT 1",
        shop=shop,
        newest=1_000,
    )
    return str(rows[0][0]) if rows else ""


def figures(snapshot: Snapshot, shop: str, now_ms: int, settings: CartSettings) -> Figures | None:
    """The shop's carts at `now_ms`; None if no checkout is known."""
    found = currencies(snapshot, shop)
    currency = (
        settings.currency or currency_of_most(snapshot, shop) or _currency_of_newest(snapshot, shop)
    )
    if not currency or not found:
        return None
    after_ms = settings.abandoned_after_minutes * MINUTE_MS
    scope: dict[str, Any] = {"shop": shop, "currency": currency}
    counted = scope | {"shop": live_key(snapshot, shop, NAME)}
    bucket, value_bin, returning, contact, idled, idle_10, idle_t, expired, carts, value = (
        open_columns(snapshot, scope, counted, now_ms, after_ms)
    )
    closed = snapshot.query(
        "SELECT state, value_bin, is_returning, contact, carts, value, orders, ordered, revenue,"
        " idled FROM cart_closed WHERE shop = :shop AND currency = :currency AND carts > 0",
        **counted,
    )
    state = np.array([row[0] for row in closed], dtype=np.str_)
    (
        closed_bin,
        closed_returning,
        closed_contact,
        closed_carts,
        closed_value,
        orders,
        ordered,
        revenue,
        closed_idled,
    ) = columns([row[1:] for row in closed], 9)
    band_ends = _band_ends(
        np.concatenate((value_bin, closed_bin)), np.concatenate((carts, closed_carts))
    )
    stratum, closed_stratum = (
        stratum_of(value_bin, returning, band_ends),
        stratum_of(closed_bin, closed_returning, band_ends),
    )

    states = {
        name: (int(closed_carts[state == name].sum()), total(closed_value[state == name]))
        for name in CLOSED_STATES
    }
    is_open, is_over = expired == 0, expired == 1
    abandoned = is_open & (idle_t == 1)
    states["active"] = (
        int(carts[is_open & ~abandoned].sum()),
        total(value[is_open & ~abandoned]),
    )
    states["abandoned"] = int(carts[abandoned].sum()), total(value[abandoned])
    states["expired"] = (
        states["expired"][0] + int(carts[is_over].sum()),
        states["expired"][1] + total(value[is_over]),
    )

    young, young_contact = _young(snapshot, scope, now_ms, after_ms)
    was = (idled == 2) | (idle_t == 1)
    was_10 = (contact == 1) & ((idled >= 1) | (idle_10 == 1))
    with_contact = int(carts[contact == 1].sum()) + int(closed_carts[closed_contact == 1].sum())

    first = (idled < 2) & (idle_t == 1)
    cohorts = columns(
        snapshot.query(
            "SELECT hour, outcome, carts FROM cart_cohort"
            " WHERE shop = :shop AND currency = :currency AND carts > 0",
            **counted,
        ),
        3,
    )
    direct = state == "recovered_direct"
    bought = (direct | (state == "completed")) & (orders > 0)
    hist = Open(
        bucket=bucket[is_open],
        value_bin=value_bin[is_open],
        returning=returning[is_open],
        age=np.clip(now_ms // BUCKET_MS - bucket[is_open], 0, OPEN_BUCKETS - 1),
        stratum=stratum[is_open],
        abandoned=abandoned[is_open],
        carts=carts[is_open],
        value=value[is_open],
    )
    expired_carts = summed(stratum[is_over], carts[is_over], STRATA)
    return Figures(
        currency=currency,
        other_currencies={code: n for code, n in found.items() if code != currency},
        states=states,
        abandoned=Abandoned(
            int(closed_carts[np.isin(state, ABANDONED_STATES)].sum()) + int(carts[was].sum()),
            int(carts.sum()) + int(closed_carts.sum()) - young,
        ),
        abandoned_shopify=Abandoned(
            int(closed_idled[closed_contact == 1].sum()) + int(carts[was_10].sum()),
            with_contact - young_contact,
        ),
        recovered_revenue=total(revenue[direct]) + total((closed_value - ordered)[direct]),
        cohort_hour=np.concatenate((cohorts[0], (bucket[first] * BUCKET_MS + after_ms) // HOUR_MS)),
        cohort_outcome=np.concatenate((cohorts[1], np.full(int(first.sum()), NOT_RECOVERED))),
        cohort_carts=np.concatenate((cohorts[2], carts[first])),
        hazard=hazards(spells(snapshot, counted, band_ends, hist, expired_carts)),
        rho=realised_share(
            summed(closed_stratum[bought], ordered[bought], STRATA),
            summed(closed_stratum[bought], revenue[bought], STRATA),
            summed(closed_stratum[bought], orders[bought], STRATA),
        ),
        band_ends=band_ends,
        open=hist,
    )


COUNTED_IN = (
    "CASE WHEN revenue >= 0 AND revenue_currency <> currency THEN revenue_currency "
    "ELSE currency END"
)
"""The currency of `aggregates.carts.cells.in_shop_money`, in SQL."""


def _young(
    snapshot: Snapshot, scope: dict[str, Any], now_ms: int, after_ms: int
) -> tuple[int, int]:
    """Too young for the two rates: made less than T ago; with contact, less than 10 minutes ago."""
    rows = snapshot.query(
        "SELECT COUNT(*), SUM(CASE WHEN contact = 1 AND created_ms > :ten THEN 1 ELSE 0 END)"
        " FROM cart_checkout WHERE created_ms > :after AND shop = :shop"
        f" AND {COUNTED_IN} = :currency AND state <> ''",
        after=now_ms - after_ms,
        ten=now_ms - SHOPIFY_MINUTES * MINUTE_MS,
        **scope,
    )
    return int(rows[0][0]), int(rows[0][1] or 0)


def _band_ends(value_bin: Ints, carts: Ints) -> tuple[int, int]:
    reached = np.cumsum(summed(value_bin, carts, 0))
    thirds = [-(-k * int(carts.sum()) // 3) for k in (1, 2)]
    return int(np.searchsorted(reached, thirds[0])), int(np.searchsorted(reached, thirds[1]))
