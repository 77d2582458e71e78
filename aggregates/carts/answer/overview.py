"""`GET /v1/carts`: how many checkouts are abandoned and recovered, and the expected value of the
open ones (docs/api.md, "GET /v1/carts"; docs/facts/analytics.md, "Cart states")."""

from collections.abc import Mapping
from typing import Final

from aggregates.carts.answer import schema
from aggregates.carts.answer.common_factor import common_variance
from aggregates.carts.answer.figures import Abandoned, CartSettings, Figures, figures
from aggregates.carts.answer.histogram import (
    BANDS,
    CUSTOMERS,
    SHOPIFY_MINUTES,
    STRATA,
    bin_bounds,
)
from aggregates.carts.answer.open_carts import open_carts
from aggregates.carts.answer.recovery import Potential, recovery_potential
from aggregates.carts.answer.spells import landmarks
from aggregates.carts.answer.survival import recovery_curve
from aggregates.carts.cells import ASSISTED, MATURITY_H
from aggregates.carts.projection import NAME
from processors.checkouts.idle import DAY_MS, HOUR_MS
from processors.checkouts.state import KEPT_MS
from processors.engine.projection import live_key
from stream.money import money
from stream.store.contract import Snapshot

__all__ = ["CartSettings", "carts", "open_carts"]

STATES: Final = (
    "active",
    "abandoned",
    "recovered_direct",
    "recovered_assisted",
    "completed",
    "expired",
)
KEPT_DAYS: Final = KEPT_MS // DAY_MS
NO_CHECKOUTS: Final = (
    "no checkout is known: either none was begun in the last 90 days, or checkouts/* webhooks do"
    " not arrive"
)
UNASKED: Final = (
    "what comes back by itself, as carts of this shop have so far: not what a reminder or a"
    " discount would add, which only a group without them can show"
)


def carts(
    snapshot: Snapshot, shop: str, now_ms: int, settings: CartSettings
) -> schema.CartsOverview:
    """The answer without `shop` and `as_of`, which the API adds. All numbers are of the checkouts
    begun in the last 90 days; T is `abandoned_after_minutes`.

    - `abandonment_rate`: checkouts that ever lay idle for T before their order, of all created at
      least T ago. Shopify's: the same at 10 minutes, of those with an email address or phone
      number.
    - `recovery_rate`: of the checkouts abandoned in matured hours (all of the hour's checkouts have
      had their 1, 24, 72 or 168 hours since), those that got their own order within that time.
      `with_assisted` counts the customer's other orders too: an attribution, not an effect.
    - `recovered_revenue`: the present worth of the orders of `recovered_direct`; for an unknown
      order, or one in another currency, the checkout's value.
    - `recovery_potential`: sum of value x P(ordered within 7 days | idle at its age) x paid/carted
      value over all open checkouts (`aggregates/carts/answer/recovery.py`), with bounds of 80 %.
      `abandoned` is the part of those idle for T; the rest is still shopping.
    """
    now = figures(snapshot, shop, now_ms, settings)
    begun = snapshot.query(
        "SELECT carts, reached FROM cart_begun WHERE shop = :shop",
        shop=live_key(snapshot, shop, NAME),
    )
    online = None
    if begun:
        ((count, reached),) = begun
        online = schema.OnlineCarts(begun=int(count), without_checkout=int(count - reached))
    if now is None:
        return _nothing(settings, online)
    scope = {"shop": live_key(snapshot, shop, NAME), "currency": now.currency}
    common = common_variance(*landmarks(snapshot, scope, now.open, now_ms))
    return _known(now, now_ms, settings, common, online)


def _known(
    now: Figures,
    now_ms: int,
    settings: CartSettings,
    common: float,
    online: schema.OnlineCarts | None,
) -> schema.CartsOverview:
    currency = now.currency
    potential, abandoned = (
        recovery_potential(now.hazard, now.open, now.rho, common, only)
        for only in (None, now.open.abandoned)
    )
    return schema.CartsOverview(
        abandoned_after_minutes=settings.abandoned_after_minutes,
        kept_days=KEPT_DAYS,
        reason=None,
        online_carts=online,
        states=_states(
            {
                name: schema.Carts(
                    carts=now.states[name][0], value=money(now.states[name][1], currency)
                )
                for name in STATES
            }
        ),
        abandonment_rate=_rate(now.abandoned, settings.abandoned_after_minutes, "checkout"),
        abandonment_rate_shopify=_rate(
            now.abandoned_shopify, SHOPIFY_MINUTES, "checkout with contact"
        ),
        recovery_rate=[_recovery(now, now_ms, index) for index in range(len(MATURITY_H))],
        recovery_curve=[
            schema.CurvePoint(hours=point.hours, share=point.share)
            for point in recovery_curve(now.hazard, settings.abandoned_after_minutes / 60)
        ],
        recovered_revenue=money(now.recovered_revenue, currency),
        recovery_potential=schema.RecoveryPotential(
            expected=money(potential.expected, currency),
            low=money(potential.low, currency),
            high=money(potential.high, currency),
            open_carts=potential.open_carts,
            open_value=money(potential.open_value, currency),
            prior_driven=potential.prior_driven,
            prior_weight=round(potential.prior_weight, 4),
            abandoned=schema.AbandonedPotential(
                expected=money(abandoned.expected, currency),
                low=money(abandoned.low, currency),
                high=money(abandoned.high, currency),
                open_carts=abandoned.open_carts,
                open_value=money(abandoned.open_value, currency),
            ),
            note=UNASKED,
        ),
        strata=[_stratum(now, potential, stratum) for stratum in range(STRATA)],
        value_bands={
            name: schema.Band(up_to=money(bin_bounds(end)[1], currency))
            for name, end in zip(BANDS[:2], now.band_ends, strict=True)
        },
        other_currencies=now.other_currencies,
    )


def _states(counted: Mapping[str, schema.Carts]) -> schema.States:
    return schema.States(
        active=counted["active"],
        abandoned=counted["abandoned"],
        recovered_direct=counted["recovered_direct"],
        recovered_assisted=counted["recovered_assisted"],
        completed=counted["completed"],
        expired=counted["expired"],
    )


def _rate(abandoned: Abandoned, after_minutes: int, what: str) -> schema.AbandonmentRate:
    reason = None if abandoned.of else f"no {what} is {after_minutes} minutes old yet"
    value = abandoned.carts / abandoned.of if abandoned.of else None
    return schema.AbandonmentRate(
        value=value,
        carts=abandoned.of,
        abandoned=abandoned.carts,
        after_minutes=after_minutes,
        reason=reason,
    )


def _recovery(now: Figures, now_ms: int, index: int) -> schema.RecoveryRate:
    hours = MATURITY_H[index]
    matured = (now.cohort_hour + 1 + hours) * HOUR_MS <= now_ms
    direct = matured & (now.cohort_outcome <= index)
    assisted = matured & (now.cohort_outcome >= ASSISTED) & (now.cohort_outcome <= ASSISTED + index)
    cohort, recovered, others = (
        int(now.cohort_carts[chosen].sum()) for chosen in (matured, direct, assisted)
    )
    return schema.RecoveryRate(
        within_hours=hours,
        value=recovered / cohort if cohort else None,
        recovered=recovered,
        cohort=cohort,
        with_assisted=schema.WithAssisted(
            value=(recovered + others) / cohort if cohort else None,
            recovered=recovered + others,
        ),
        reason=None if cohort else f"no abandoned checkout has had its {hours} h yet",
    )


def _stratum(now: Figures, potential: Potential, stratum: int) -> schema.Stratum:
    probability = potential.strata_probability[stratum]
    return schema.Stratum(
        value_band=BANDS[stratum // 2],
        customer=CUSTOMERS[stratum % 2],
        open_carts=potential.strata_carts[stratum],
        open_value=money(potential.strata_value[stratum], now.currency),
        expected=money(potential.strata_expected[stratum], now.currency),
        low=money(potential.strata_bounds[stratum].low, now.currency),
        high=money(potential.strata_bounds[stratum].high, now.currency),
        probability=probability,
        reason="no open cart in this stratum" if probability is None else None,
    )


def _nothing(settings: CartSettings, online: schema.OnlineCarts | None) -> schema.CartsOverview:
    zero = money(0, settings.currency) if settings.currency else None
    none = Abandoned(0, 0)
    no_carts = schema.AbandonedPotential(
        expected=zero, low=zero, high=zero, open_carts=0, open_value=zero
    )
    return schema.CartsOverview(
        abandoned_after_minutes=settings.abandoned_after_minutes,
        kept_days=KEPT_DAYS,
        reason=NO_CHECKOUTS,
        online_carts=online,
        states=_states(dict.fromkeys(STATES, schema.Carts(carts=0, value=zero))),
        abandonment_rate=_rate(none, settings.abandoned_after_minutes, "checkout"),
        abandonment_rate_shopify=_rate(none, SHOPIFY_MINUTES, "checkout with contact"),
        recovery_rate=[
            schema.RecoveryRate(
                within_hours=hours,
                value=None,
                recovered=0,
                cohort=0,
                with_assisted=schema.WithAssisted(value=None, recovered=0),
                reason=NO_CHECKOUTS,
            )
            for hours in MATURITY_H
        ],
        recovery_curve=[],
        recovered_revenue=zero,
        recovery_potential=schema.RecoveryPotential(
            expected=zero,
            low=zero,
            high=zero,
            open_carts=0,
            open_value=zero,
            prior_driven=True,
            prior_weight=1.0,
            abandoned=no_carts,
            note=UNASKED,
        ),
        strata=[],
        value_bands={},
        other_currencies={},
    )
