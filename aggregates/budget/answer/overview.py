"""`GET /v1/budget`: what each campaign cost and earned, and what to spend on it tomorrow
(docs/api.md, "GET /v1/budget").

Money and orders are of the last `days` days, today among them. Returns and advice are of the last
*mature* days of the settings, since revenue of the newest days is still arriving; so advice does
not depend on `days`. `total` covers every order of the shop, its `attributed` part what campaigns
earned. Every null has a reason beside it, in the campaign or in `reasons`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from aggregates.budget.answer.advice import CAUTION, Assessment, Evidence, Terms, Window, assess
from aggregates.budget.answer.campaign_answer import (
    NO_BANKROLL,
    NO_MARGIN,
    campaign_json,
    daily_return_json,
    in_window,
    kelly_json,
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
from aggregates.budget.answer.kelly import Caution
from stream.money import minor, money
from stream.store.contract import Snapshot

Json = dict[str, Any]

UNKNOWN_CURRENCY: Final = "neither an order nor spend in this time, so the currency is not known"


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """What the merchant decides. Amounts are per day, in the shop's currency, as written (they become minor units once it is known)."""

    bankroll: Decimal | None = None
    margin: float | None = None
    """Contribution margin, a fraction of revenue."""
    days: int = 30
    """How many mature days are judged, and how many are told where a question does not say."""
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


def read_cells(snapshot: Snapshot, shop: str, window: Window) -> list[BudgetCell]:
    """The campaign-days of `window`."""
    rows = snapshot.query(
        f"SELECT {', '.join(BudgetCell._fields)} FROM budget_cell WHERE shop = :shop AND day >= :first AND day <= :last",
        shop=shop, first=window.first, last=window.last,
    )  # fmt: skip
    return [BudgetCell(*row) for row in rows]


def budget(
    snapshot: Snapshot, shop: str, today_day: int, settings: BudgetSettings, days: int | None = None
) -> Json:
    """The answer without `shop` and `as_of`, which the API adds. `today_day` is the shop's, days since 1970-01-01.

    `days` to tell of, where it is not the setting.
    """
    recent = Window(today_day - (days or settings.days) + 1, today_day)
    last = today_day - settings.immature_days
    mature = Window(last - settings.days + 1, last)
    everything = Window(min(recent.first, mature.first), today_day)
    cells = read_cells(snapshot, shop, everything)
    zones = snapshot.query(
        "SELECT DISTINCT time_zone FROM budget_spend WHERE shop = :shop AND day >= :first AND day <= :last AND time_zone <> ''",
        shop=shop, first=everything.first, last=everything.last,
    )  # fmt: skip
    answer = {
        "days": days or settings.days,
        "window": _days(recent),
        "returns_window": {**_days(mature), "immature_days": settings.immature_days},
        "margin": settings.margin,
    }
    currency = settings.currency or shop_currency(cells)
    time_zones = _time_zones(settings.time_zone, sorted(row[0] for row in zones))
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
        caution=settings.caution,
    )
    return {**answer, **_told(account(cells, currency), terms), "time_zones": time_zones}


def _positive(amount: Decimal | None, currency: str) -> int | None:
    units = minor(amount, currency) if amount is not None else 0
    return units if units > 0 else None


def _usable(margin: float | None) -> float | None:
    return margin if margin is not None and 0 < margin <= 1 else None


def _told(told: Account, terms: Terms) -> Json:
    assessed, together = assess(told.campaigns, terms)
    items = [(each.campaign, campaign_json(each, terms)) for each in assessed]
    items.sort(
        key=lambda item: (
            -in_window(item[0].spend, terms.recent),
            -in_window(item[0].revenue, terms.recent),
            str(item[1]["campaign_id"]),
        )
    )
    total = _total(told, assessed, together, terms)
    buckets = {
        channel: _bucket(bucket, total["orders"], terms)
        for channel, bucket in sorted(told.buckets.items())
    }
    empty = _bucket(Bucket(), total["orders"], terms)
    return {
        "bankroll_per_day": None
        if terms.bankroll is None
        else money(terms.bankroll, terms.currency),
        "margin": terms.margin,
        "reasons": _reasons(told, terms),
        "total": total,
        "campaigns": [item for _, item in items],
        "unattributed": buckets.pop(UNATTRIBUTED, empty),
        "direct": buckets.pop(DIRECT, empty),
        "meta_unassigned": buckets.pop("meta", empty),
        "unassigned": [{"channel": channel, **bucket} for channel, bucket in buckets.items()],
    }


def _total(
    told: Account, assessed: Sequence[Assessment], together: Evidence | None, terms: Terms
) -> Json:
    attributed_orders = sum(in_window(each.orders, terms.recent) for each in told.campaigns)
    attributed = sum(in_window(each.revenue, terms.recent) for each in told.campaigns)
    revenue = attributed + sum(
        in_window(each.revenue, terms.recent) for each in told.buckets.values()
    )
    spend = sum(
        in_window(each.spend, terms.recent)
        for each in told.campaigns
        if each.spend_currency == terms.currency
    )
    foreign = any(each.spend_currency not in (None, terms.currency) for each in told.campaigns)
    comparable = bool(spend) and not foreign
    reason = (
        "spend in another currency cannot be added"
        if foreign
        else None
        if spend
        else "there is no spend"
    )
    currents = [each.current for each in assessed if each.current is not None]
    advised = [each.advice.recommended for each in assessed if each.advice is not None]
    return {
        "spend": money(spend, terms.currency),
        "revenue": money(revenue, terms.currency),
        "orders": attributed_orders
        + sum(in_window(each.orders, terms.recent) for each in told.buckets.values()),
        "roas": revenue / spend if comparable else None,
        "attributed": {
            "orders": attributed_orders,
            "revenue": money(attributed, terms.currency),
            "roas": attributed / spend if comparable else None,
            "reason": reason,
        },
        "daily_return": daily_return_json(together, NO_MARGIN),
        "kelly": kelly_json(together, NO_MARGIN),
        "current_budget": money(sum(currents), terms.currency) if currents else None,
        "recommended_budget": money(sum(advised), terms.currency) if advised else None,
        "reason": "; ".join(filter(None, (reason, None if advised else _unadvised(terms)))) or None,
    }


def _missing(margin: float | None, bankroll: Decimal | int | None) -> list[str]:
    return [
        reason for value, reason in ((margin, NO_MARGIN), (bankroll, NO_BANKROLL)) if value is None
    ]


def _unadvised(terms: Terms) -> str:
    return (
        "; ".join(_missing(terms.margin, terms.bankroll))
        or "no campaign has a full day with spend in the shop's currency yet"
    )


def _reasons(told: Account, terms: Terms) -> list[str]:
    reasons = _missing(terms.margin, terms.bankroll)
    if not any(each.spend_currency is not None for each in told.campaigns):
        reasons.append(
            "no spend was reported in this time, so there are no returns: see `orderwire spend --help`"
        )
    foreign = sorted(
        {each.spend_currency for each in told.campaigns} - {None, "", terms.currency}, key=str
    )
    if foreign:
        reasons.append(
            f"spend in {', '.join(map(str, foreign))} is not in the totals: the shop's currency is {terms.currency}"
        )
    if left_out := in_window(told.other_currency_orders, terms.recent):
        reasons.append(f"{left_out} orders in another currency than {terms.currency} are left out")
    return reasons


def _bucket(bucket: Bucket, orders: int, terms: Terms) -> Json:
    count = in_window(bucket.orders, terms.recent)
    return {
        "orders": count,
        "revenue": money(in_window(bucket.revenue, terms.recent), terms.currency),
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
        "reasons": [UNKNOWN_CURRENCY, *_missing(_usable(settings.margin), bankroll)],
        "total": {
            **dict.fromkeys(("spend", "revenue", "roas", "current_budget", "recommended_budget")),
            "orders": 0,
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
    """Spend days are the ad account's and order days the shop's; nothing can move them together, so it is said."""
    one = accounts[0] if len(accounts) == 1 else None
    note = None
    if not accounts:
        note = "the spend reports name no time zone"
    elif one is None:
        note = f"the ad accounts have several time zones: {', '.join(accounts)}"
    elif shop is None:
        note = "the shop's time zone is not set: its orders count on the day of their own offset"
    elif one != shop:
        note = "spend counts on the ad account's days and orders on the shop's; a day's return mixes the hours between them"
    return {"shop": shop, "ad_account": one, "reason": note}


def _days(window: Window) -> Json:
    first, last = (date(1970, 1, 1) + timedelta(days=day) for day in (window.first, window.last))
    return {"first_day": first.isoformat(), "last_day": last.isoformat()}
