"""A shop's carts at one moment: turns cells into the figures of answers."""

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

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


class _ClosedColumns(NamedTuple):
    """Columns of `cart_closed` beside its state."""

    value_bin: Ints
    is_returning: Ints
    contact: Ints
    carts: Ints
    value: Ints
    orders: Ints
    ordered: Ints
    revenue: Ints
    idled: Ints


class _CohortColumns(NamedTuple):
    """Columns of `cart_cohort`."""

    hour: Ints
    outcome: Ints
    carts: Ints


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
    open_carts = open_columns(snapshot, scope, counted, now_ms, after_ms)
    carts, value, bucket = open_carts.carts, open_carts.value, open_carts.bucket
    rows = snapshot.query(
        "SELECT state, value_bin, is_returning, contact, carts, value, orders, ordered, revenue,"
        " idled FROM cart_closed WHERE shop = :shop AND currency = :currency AND carts > 0",
        **counted,
    )
    state = np.array([row.state for row in rows], dtype=np.str_)
    closed = columns(rows, _ClosedColumns)
    band_ends = _band_ends(
        np.concatenate((open_carts.value_bin, closed.value_bin)),
        np.concatenate((carts, closed.carts)),
    )
    stratum, closed_stratum = (
        stratum_of(open_carts.value_bin, open_carts.is_returning, band_ends),
        stratum_of(closed.value_bin, closed.is_returning, band_ends),
    )

    states = {
        name: (int(closed.carts[state == name].sum()), total(closed.value[state == name]))
        for name in CLOSED_STATES
    }
    is_open, is_over = open_carts.expired == 0, open_carts.expired == 1
    abandoned = is_open & (open_carts.idle_t == 1)
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
    idled, has_contact = open_carts.idled, open_carts.contact == 1
    was = (idled == 2) | (open_carts.idle_t == 1)
    was_10 = has_contact & ((idled >= 1) | (open_carts.idle_10 == 1))
    with_contact = int(carts[has_contact].sum()) + int(closed.carts[closed.contact == 1].sum())

    first = (idled < 2) & (open_carts.idle_t == 1)
    cohorts = columns(
        snapshot.query(
            "SELECT hour, outcome, carts FROM cart_cohort"
            " WHERE shop = :shop AND currency = :currency AND carts > 0",
            **counted,
        ),
        _CohortColumns,
    )
    direct = state == "recovered_direct"
    bought = (direct | (state == "completed")) & (closed.orders > 0)
    hist = Open(
        bucket=bucket[is_open],
        value_bin=open_carts.value_bin[is_open],
        returning=open_carts.is_returning[is_open],
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
            int(closed.carts[np.isin(state, ABANDONED_STATES)].sum()) + int(carts[was].sum()),
            int(carts.sum()) + int(closed.carts.sum()) - young,
        ),
        abandoned_shopify=Abandoned(
            int(closed.idled[closed.contact == 1].sum()) + int(carts[was_10].sum()),
            with_contact - young_contact,
        ),
        recovered_revenue=total(closed.revenue[direct])
        + total((closed.value - closed.ordered)[direct]),
        cohort_hour=np.concatenate(
            (cohorts.hour, (bucket[first] * BUCKET_MS + after_ms) // HOUR_MS)
        ),
        cohort_outcome=np.concatenate((cohorts.outcome, np.full(int(first.sum()), NOT_RECOVERED))),
        cohort_carts=np.concatenate((cohorts.carts, carts[first])),
        hazard=hazards(spells(snapshot, counted, band_ends, hist, expired_carts)),
        rho=realised_share(
            summed(closed_stratum[bought], closed.ordered[bought], STRATA),
            summed(closed_stratum[bought], closed.revenue[bought], STRATA),
            summed(closed_stratum[bought], closed.orders[bought], STRATA),
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
