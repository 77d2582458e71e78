"""`GET /v1/budget`: what each campaign cost and earned, and what to spend on it tomorrow.

Money and orders are shown for the last `days` days that are asked for. Returns, and the advice that
rests on them, are of the last mature days of the settings, whatever is asked. Every null has its
reason: beside it, in the campaign's `reason`, or in the answer's `reasons`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from aggregates.budget.advice.evidence import CAUTION
from aggregates.budget.advice.kelly import Caution
from aggregates.budget.answer.assessment import Assessment, assess
from aggregates.budget.answer.campaign_answer import (
    NO_BANKROLL,
    campaign_json,
    daily_return_json,
    kelly_json,
    stopped,
)
from aggregates.budget.answer.campaigns import (
    DIRECT,
    UNATTRIBUTED,
    Account,
    Bucket,
    BudgetCell,
    account,
    shop_currency,
)
from aggregates.budget.answer.coverage import coverage
from aggregates.budget.answer.reading import (
    read_account_zones,
    read_cells,
    read_currencies,
    read_first_order_day,
)
from aggregates.budget.answer.terms import MEMORY_DAYS, Terms
from aggregates.budget.answer.total_answer import missing, total_json
from aggregates.budget.answer.window import Window, day_text, total
from stream.money import minor, money
from stream.store.contract import Snapshot

Json = dict[str, Any]

UNKNOWN_CURRENCY: Final = "neither an order nor spend in this time, so the currency is not known"


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """What the merchant decides. Amounts are per day, in the shop's currency, as written."""

    bankroll: Decimal | None = None
    margin: float | None = None
    """Contribution margin, a fraction of revenue."""
    days: int = 30
    """How many mature days are judged, and how many are shown where a question does not say."""
    immature_days: int = 3
    """The newest days, today among them, whose revenue is not yet all in."""
    max_change: float = 0.3
    """Largest step from today's budget, up or down."""
    seed: Decimal | None = None
    """Where a campaign without a budget starts; a hundredth of the bankroll where not set."""
    currency: str | None = None
    """The shop's; where not set, that of most orders."""
    time_zone: str | None = None
    """The shop's, for display."""
    caution: Caution = CAUTION


def budget(
    snapshot: Snapshot, shop: str, today_day: int, settings: BudgetSettings, days: int | None = None
) -> Json:
    """The answer without `shop` and `as_of`, which the API adds.

    `today_day` is the shop's, days since 1970-01-01. `days` to show, where it is not the setting.
    """
    recent = Window(today_day - (days or settings.days) + 1, today_day)
    last = today_day - settings.immature_days
    mature = Window(last - settings.days + 1, last)
    shown = Window(min(recent.first, mature.first), today_day)
    remembered = Window(mature.first - MEMORY_DAYS, mature.first - 1)
    cells = read_cells(snapshot, shop, Window(min(shown.first, remembered.first), today_day))
    answer = {
        "days": days or settings.days,
        "window": _days(recent),
        "returns_window": {**_days(mature), "immature_days": settings.immature_days},
        "margin": settings.margin,
    }
    time_zones = _time_zones(settings.time_zone, read_account_zones(snapshot, shop, shown))
    currency = settings.currency or shop_currency(read_currencies(snapshot, shop))
    if currency is None:
        return {**answer, **_nothing(settings), "time_zones": time_zones}
    bankroll = _positive(settings.bankroll, currency)
    terms = Terms(
        currency=currency,
        bankroll=bankroll,
        margin=_usable(settings.margin),
        seed=_positive(settings.seed, currency) or (bankroll or 0) // 100,
        max_change=settings.max_change,
        immature_days=settings.immature_days,
        recent=recent,
        mature=mature,
        coverage=coverage(cells, today_day, read_first_order_day(snapshot, shop)),
        order_value=_order_value(cells, currency, Window(remembered.first, mature.last)),
        caution=settings.caution,
    )
    told = account([each for each in cells if each.day >= shown.first], currency)
    past = account([each for each in cells if each.day in remembered.days()], currency)
    answer |= {"risk": _risk(terms)}
    return {**answer, **_answered(told, past, terms), "time_zones": time_zones}


def _order_value(cells: Sequence[BudgetCell], currency: str, window: Window) -> float:
    """The shop's average order value, in minor units; 0 where it had no order."""
    own = [each for each in cells if each.currency == currency and each.day in window.days()]
    orders = sum(each.orders for each in own)
    return sum(each.revenue for each in own) / orders if orders else 0.0


def _risk(terms: Terms) -> Json:
    """Against what risk is measured, plainly."""
    days = terms.caution.horizon_days
    whole = None if terms.bankroll is None else money(terms.bankroll * days, terms.currency)
    return {
        "horizon_days": days,
        "bankroll": whole,
        "note": (
            f"Risk is measured against the bankroll of {days} days: what is at stake is what the "
            "ads may spend in that time, not one day's budget. A budget is cut only where the mean "
            f"return is below zero with a probability of {terms.caution.cut_probability:.0%} or "
            "more."
        ),
        "reason": None if whole else NO_BANKROLL,
    }


def _positive(amount: Decimal | None, currency: str) -> int | None:
    units = minor(amount, currency) if amount is not None else 0
    return units if units > 0 else None


def _usable(margin: float | None) -> float | None:
    return margin if margin is not None and 0 < margin <= 1 else None


def _answered(told: Account, past: Account, terms: Terms) -> Json:
    assessed, together = assess(told, terms, past.campaigns)
    items = [(each.campaign, campaign_json(each, terms)) for each in assessed]
    items.sort(
        key=lambda item: (
            -total(item[0].spend, terms.recent),
            -total(item[0].revenue, terms.recent),
            str(item[1]["campaign_id"]),
        )
    )
    whole = total_json(told, assessed, together, terms)
    buckets = {
        channel: _bucket(bucket, whole["orders"], terms)
        for channel, bucket in sorted(told.buckets.items())
    }
    empty = _bucket(Bucket(), whole["orders"], terms)
    return {
        "bankroll_per_day": None
        if terms.bankroll is None
        else money(terms.bankroll, terms.currency),
        "margin": terms.margin,
        "reasons": _reasons(told, assessed, terms),
        "total": whole,
        "campaigns": [item for _, item in items],
        "unattributed": buckets.pop(UNATTRIBUTED, empty),
        "direct": buckets.pop(DIRECT, empty),
        "meta_unassigned": buckets.pop("meta", empty),
        "unassigned": [{"channel": channel, **bucket} for channel, bucket in buckets.items()],
    }


def _reasons(told: Account, assessed: Sequence[Assessment], terms: Terms) -> list[str]:
    reasons = missing(terms.margin, terms.bankroll)
    if not any(each.spend_currency is not None for each in told.campaigns):
        reasons.append(
            "no spend was reported in this time, so there are no returns: see "
            "`orderwire spend --help`"
        )
    foreign = sorted(
        {each.spend_currency for each in told.campaigns} - {None, "", terms.currency}, key=str
    )
    if foreign:
        reasons.append(
            f"spend in {', '.join(map(str, foreign))} is not in the totals: the shop's currency "
            f"is {terms.currency}"
        )
    reasons += [
        text
        for channel in sorted({each.channel for each in told.campaigns if each.spend_currency})
        if (text := stopped(channel, terms))
    ]
    if terms.coverage.orders_stopped and terms.coverage.orders:
        reasons.append(
            f"no order has arrived since {day_text(terms.coverage.orders.last)}, against what is "
            "usual: later days are not judged. See `orderwire doctor`"
        )
    reasons += dict.fromkeys(text for each in assessed for text in each.withheld)
    if left_out := total(told.other_currency_orders, terms.recent):
        reasons.append(f"{left_out} orders in another currency than {terms.currency} are left out")
    return reasons


def _bucket(bucket: Bucket, orders: int, terms: Terms) -> Json:
    count = total(bucket.orders, terms.recent)
    return {
        "orders": count,
        "revenue": money(total(bucket.revenue, terms.recent), terms.currency),
        "share": count / orders if orders else None,
        "reason": None if orders else "no order in this time",
    }


def _nothing(settings: BudgetSettings) -> Json:
    bankroll = (
        settings.bankroll if settings.bankroll is not None and settings.bankroll > 0 else None
    )
    reason = {"reason": UNKNOWN_CURRENCY}
    bucket = {"orders": 0, "revenue": None, "share": None, **reason}
    return {
        "bankroll_per_day": None,
        "reasons": [UNKNOWN_CURRENCY, *missing(_usable(settings.margin), bankroll)],
        "total": {
            **dict.fromkeys(
                (
                    "spend",
                    "revenue",
                    "roas",
                    "current_budget",
                    "recommended_budget",
                    "target_budget",
                )
            ),
            "orders": 0,
            "roas_days": 0,
            "attributed": {"orders": 0, "revenue": None, "roas": None, **reason},
            "daily_return": daily_return_json(None, UNKNOWN_CURRENCY),
            "kelly": kelly_json(None, UNKNOWN_CURRENCY),
            **reason,
        },
        "campaigns": [],
        **dict.fromkeys(("unattributed", "direct", "meta_unassigned"), bucket),
        "unassigned": [],
    }


def _time_zones(shop: str | None, accounts: Sequence[str]) -> Json:
    """Spend days are the ad account's and order days the shop's; nothing can move them together."""
    one = accounts[0] if len(accounts) == 1 else None
    note = None
    if not accounts:
        note = "the spend reports name no time zone"
    elif one is None:
        note = f"the ad accounts have several time zones: {', '.join(accounts)}"
    elif shop is None:
        note = "the shop's time zone is not set: its orders count on the day of their own offset"
    elif one != shop:
        note = (
            "spend counts on the ad account's days and orders on the shop's; a day's return mixes "
            "the hours between them"
        )
    return {"shop": shop, "ad_account": one, "reason": note}


def _days(window: Window) -> Json:
    return {"first_day": day_text(window.first), "last_day": day_text(window.last)}
