"""`GET /v1/budget`: what each campaign cost and earned, and what to spend on it tomorrow. Money and
orders cover the requested `days`; returns and advice always cover the last mature days of the
settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple, TypedDict

from aggregates.budget.advice.evidence import CAUTION
from aggregates.budget.advice.kelly import Caution
from aggregates.budget.answer import schema
from aggregates.budget.answer.ad_issues import by_campaign
from aggregates.budget.answer.assessment import Assessed, Assessment, assess
from aggregates.budget.answer.campaign_answer import (
    NO_BANKROLL,
    campaign_answer,
    daily_return,
    kelly_answer,
    stopped,
)
from aggregates.budget.answer.campaigns import (
    DIRECT,
    UNATTRIBUTED,
    AdAccount,
    BudgetCell,
    DaysWithoutCampaign,
    account,
    note_issues,
    set_budgets,
    shop_currency,
)
from aggregates.budget.answer.coverage import coverage
from aggregates.budget.answer.reading import (
    BUDGET_DAYS,
    read_account_zones,
    read_cells,
    read_currencies,
    read_first_order_day,
    read_set_budgets,
)
from aggregates.budget.answer.terms import MEMORY_DAYS, Terms
from aggregates.budget.answer.total_answer import missing, total_answer
from aggregates.budget.answer.window import Window, day_text, total
from aggregates.budget.fold.ad_issues import open_issues
from stream.money import MoneyJson, minor, money
from stream.store.contract import Snapshot


class Dated(NamedTuple):
    """The days of an answer."""

    days: int
    window: schema.DaySpan
    returns_window: schema.ReturnsWindow


class _Counted(TypedDict):
    orders: int
    revenue: MoneyJson
    share: float | None
    reason: str | None


DAY_MS: Final = 86_400_000
UNKNOWN_CURRENCY: Final = "neither an order nor spend in this time, so the currency is not known"


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """A merchant's settings. Amounts are per day, in the shop's currency, as written."""

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
) -> schema.Budget:
    """The answer without `shop` and `as_of`, which the API adds. Every null has its reason: beside
    it, in the campaign's `reason`, or in the answer's `reasons`.

    `today_day` is the shop's, days since 1970-01-01. `days` to show, if it is not the setting.
    """
    recent = Window(today_day - (days or settings.days) + 1, today_day)
    last = today_day - settings.immature_days
    mature = Window(last - settings.days + 1, last)
    shown = Window(min(recent.first, mature.first), today_day)
    remembered = Window(mature.first - MEMORY_DAYS, mature.first - 1)
    cells = read_cells(snapshot, shop, Window(min(shown.first, remembered.first), today_day))
    dated = Dated(
        days or settings.days,
        schema.DaySpan(first_day=day_text(recent.first), last_day=day_text(recent.last)),
        schema.ReturnsWindow(
            first_day=day_text(mature.first),
            last_day=day_text(mature.last),
            immature_days=settings.immature_days,
        ),
    )
    time_zones = _time_zones(settings.time_zone, read_account_zones(snapshot, shop, shown))
    currency = settings.currency or shop_currency(read_currencies(snapshot, shop))
    if currency is None:
        return _nothing(settings, dated, time_zones)
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
    ads = account([each for each in cells if each.day >= shown.first], currency)
    # The campaign of a label depends on the days read, so advice has days of its own.
    judged = account([each for each in cells if each.day >= mature.first], currency)
    since_ms = (today_day - BUDGET_DAYS) * DAY_MS
    note_issues(ads, by_campaign(open_issues(snapshot, shop, since_ms)))
    set_budgets(judged, read_set_budgets(snapshot, shop, today_day))
    past = account([each for each in cells if each.day in remembered.days()], currency)
    assessed = assess(judged, terms, past.campaigns)
    return _answered(ads, assessed, terms, dated, time_zones)


def _order_value(cells: Sequence[BudgetCell], currency: str, window: Window) -> float:
    """The shop's average order value, in minor units; 0 without an order."""
    own = [each for each in cells if each.currency == currency and each.day in window.days()]
    orders = sum(each.orders for each in own)
    return sum(each.revenue for each in own) / orders if orders else 0.0


def _risk(bankroll: MoneyJson | None, caution: Caution) -> schema.Risk:
    """`bankroll` is that of the whole horizon."""
    days = caution.horizon_days
    return schema.Risk(
        horizon_days=days,
        bankroll=bankroll,
        note=(
            f"Risk is measured against the bankroll of {days} days: what is at stake is what the "
            "ads may spend in that time, not one day's budget. A budget is cut only where the mean "
            f"return is below zero with a probability of {caution.cut_probability:.0%} or more."
        ),
        reason=None if bankroll else NO_BANKROLL,
    )


def _positive(amount: Decimal | None, currency: str) -> int | None:
    units = minor(amount, currency) if amount is not None else 0
    return units if units > 0 else None


def _usable(margin: float | None) -> float | None:
    return margin if margin is not None and 0 < margin <= 1 else None


def _answered(
    ads: AdAccount,
    judged: Assessed,
    terms: Terms,
    dated: Dated,
    time_zones: schema.TimeZones,
) -> schema.Budget:
    assessed, together = judged.shown(ads, terms.currency), judged.together
    items = [(each.campaign, campaign_answer(each, terms)) for each in assessed]
    items.sort(
        key=lambda item: (
            -total(item[0].spend, terms.recent),
            -total(item[0].revenue, terms.recent),
            str(item[1].campaign_id),
        )
    )
    whole = total_answer(ads, assessed, together, terms)
    buckets = dict(sorted(ads.buckets.items()))

    def taken(channel: str) -> schema.Unassigned:
        return schema.Unassigned(
            **_bucket(buckets.pop(channel, DaysWithoutCampaign()), whole.orders, terms)
        )

    bankroll, days = terms.bankroll, terms.caution.horizon_days
    return schema.Budget(
        days=dated.days,
        window=dated.window,
        returns_window=dated.returns_window,
        margin=terms.margin,
        bankroll_per_day=None if bankroll is None else money(bankroll, terms.currency),
        reasons=_reasons(ads, assessed, terms),
        risk=_risk(
            None if bankroll is None else money(bankroll * days, terms.currency), terms.caution
        ),
        total=whole,
        campaigns=[item for _, item in items],
        unattributed=taken(UNATTRIBUTED),
        direct=taken(DIRECT),
        meta_unassigned=taken("meta"),
        unassigned=[
            schema.UnassignedOfChannel(channel=channel, **_bucket(bucket, whole.orders, terms))
            for channel, bucket in buckets.items()
        ],
        time_zones=time_zones,
    )


def _reasons(ads: AdAccount, assessed: Sequence[Assessment], terms: Terms) -> list[str]:
    reasons = missing(terms.margin, terms.bankroll)
    if not any(each.spend_currency is not None for each in ads.campaigns):
        reasons.append(
            "no spend was reported in this time, so there are no returns: see "
            "`orderwire spend --help`"
        )
    foreign = sorted(
        {each.spend_currency for each in ads.campaigns} - {None, "", terms.currency}, key=str
    )
    if foreign:
        reasons.append(
            f"spend in {', '.join(map(str, foreign))} is not in the totals: the shop's currency "
            f"is {terms.currency}"
        )
    reasons += [
        text
        for channel in sorted({each.channel for each in ads.campaigns if each.spend_currency})
        if (text := stopped(channel, terms))
    ]
    if terms.coverage.orders_stopped and terms.coverage.orders:
        reasons.append(
            f"no order has arrived since {day_text(terms.coverage.orders.last)}, against what is "
            "usual: later days are not judged. See `orderwire doctor`"
        )
    reasons += ads.ad_issues
    reasons += dict.fromkeys(text for each in assessed for text in each.withheld)
    if left_out := total(ads.other_currency_orders, terms.recent):
        reasons.append(f"{left_out} orders in another currency than {terms.currency} are left out")
    return reasons


def _bucket(bucket: DaysWithoutCampaign, orders: int, terms: Terms) -> _Counted:
    count = total(bucket.orders, terms.recent)
    return {
        "orders": count,
        "revenue": money(total(bucket.revenue, terms.recent), terms.currency),
        "share": count / orders if orders else None,
        "reason": None if orders else "no order in this time",
    }


def _nothing(settings: BudgetSettings, dated: Dated, time_zones: schema.TimeZones) -> schema.Budget:
    bankroll = (
        settings.bankroll if settings.bankroll is not None and settings.bankroll > 0 else None
    )
    nobody = schema.Unassigned(orders=0, revenue=None, share=None, reason=UNKNOWN_CURRENCY)
    return schema.Budget(
        days=dated.days,
        window=dated.window,
        returns_window=dated.returns_window,
        margin=settings.margin,
        bankroll_per_day=None,
        reasons=[UNKNOWN_CURRENCY, *missing(_usable(settings.margin), bankroll)],
        risk=_risk(None, settings.caution),
        total=schema.Total(
            spend=None,
            revenue=None,
            orders=0,
            roas=None,
            roas_days=0,
            attributed=schema.Attributed(
                orders=0, revenue=None, roas=None, reason=UNKNOWN_CURRENCY
            ),
            daily_return=daily_return(None, UNKNOWN_CURRENCY),
            kelly=kelly_answer(None, UNKNOWN_CURRENCY),
            current_budget=None,
            recommended_budget=None,
            target_budget=None,
            reason=UNKNOWN_CURRENCY,
        ),
        campaigns=[],
        unattributed=nobody,
        direct=nobody,
        meta_unassigned=nobody,
        unassigned=[],
        time_zones=time_zones,
    )


def _time_zones(shop: str | None, accounts: Sequence[str]) -> schema.TimeZones:
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
    return schema.TimeZones(shop=shop, ad_account=one, reason=note)
