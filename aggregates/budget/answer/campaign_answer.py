"""One campaign of `GET /v1/budget` as JSON, every null with its reason (docs/api.md, "GET
/v1/budget"). Pure."""

from collections import Counter
from math import sqrt
from typing import Any, Final

from aggregates.budget.answer.advice import Assessment, Evidence, Terms, Window
from aggregates.budget.answer.campaigns import Campaign
from aggregates.budget.answer.kelly import MIN_DAYS, VARIANCE_FLOOR
from stream.money import money

Json = dict[str, Any]

NO_MARGIN: Final = "the contribution margin is not known: set AD_MARGIN (a fraction of revenue, above 0 and at most 1)"
NO_BANKROLL: Final = (
    "the ad bankroll per day is not known: set AD_BANKROLL (in the shop's currency)"
)
NO_SPEND: Final = "no spend was reported for it"
AMBIGUOUS: Final = (
    "several campaigns go by this name: put utm_id={{campaign.id}} into the ads' links"
)
PAUSE: Final = "consider a pause: the mean return is not above zero"
BEYOND_STEP: Final = (
    "the bankroll is so far below today's budgets that the step down is larger than usual"
)


def campaign_json(assessed: Assessment, terms: Terms) -> Json:
    """An item of `campaigns`; money and orders of the recent window, returns of the mature one."""
    campaign, found, advice = assessed.campaign, assessed.evidence, assessed.advice
    reason = _reason(assessed, terms)
    spend, revenue = (
        in_window(campaign.spend, terms.recent),
        in_window(campaign.revenue, terms.recent),
    )
    spend_currency = terms.currency if campaign.spend_currency is None else campaign.spend_currency
    kelly = kelly_json(found, reason)
    flags = (
        (campaign.ambiguous, AMBIGUOUS),
        (advice is not None and advice.pause, PAUSE),
        (advice is not None and advice.beyond_step, BEYOND_STEP),
    )
    return {
        "campaign_id": campaign.campaign_id,
        "name": campaign.name,
        "channel": campaign.channel or None,
        "days": sum(campaign.spend[day] > 0 for day in terms.mature.days()),
        "spend": money(spend, spend_currency) if spend_currency else None,
        "revenue": money(revenue, terms.currency),
        "orders": in_window(campaign.orders, terms.recent),
        "roas": revenue / spend if spend and spend_currency == terms.currency else None,
        "daily_return": daily_return_json(found, reason),
        "kelly": {
            **kelly,
            "shared_fraction": advice.fraction if advice else None,
            "reason": kelly["reason"] or reason,
        },
        "saturation": money(assessed.saturation.cap, terms.currency)
        if assessed.saturation and assessed.saturation.cap is not None
        else None,
        "saturation_reason": assessed.saturation.reason if assessed.saturation else reason,
        "current_budget": None
        if assessed.current is None
        else money(assessed.current, terms.currency),
        "recommended_budget": money(advice.recommended, terms.currency) if advice else None,
        "binding_constraint": advice.binding if advice else None,
        "platform": _platform(campaign, spend_currency, terms.recent),
        "issues": [text for raised, text in flags if raised],
        "reason": reason,
    }


def in_window(by_day: Counter[int], window: Window) -> int:
    """The sum over the days of `window`."""
    return sum(amount for day, amount in by_day.items() if window.first <= day <= window.last)


def _reason(assessed: Assessment, terms: Terms) -> str | None:
    """Why nothing is recommended for it, or why today's budget stays."""
    campaign, found = assessed.campaign, assessed.evidence
    if campaign.spend_currency is None:
        return NO_SPEND
    if campaign.spend_currency == "":
        return f"its spend is reported in several currencies; the shop's is {terms.currency}, and none can be converted"
    if campaign.spend_currency != terms.currency:
        return f"its spend is in {campaign.spend_currency}, the shop's currency is {terms.currency}, and neither can be converted"
    if found is None:
        return NO_MARGIN
    if assessed.current is None:
        return "it has no full day with spend yet, so today's budget is not known"
    if found.multiplier is None:
        return f"{found.returns.n} mature days with spend, and advice needs {MIN_DAYS}: today's budget stays"
    return NO_BANKROLL if terms.bankroll is None else None


def daily_return_json(found: Evidence | None, reason: str | None) -> Json:
    """Returns per unit of spend; `reason` where they cannot be told."""
    if found is None:
        return {"mean": None, "sd": None, "shrunk_mean": None, "p_positive": None, "reason": reason}
    told = found.returns
    few = None if told.n >= 2 else f"{told.n} mature days with spend; a spread needs 2"
    sd = None if told.var is None else sqrt(told.var)
    return {
        "mean": told.mean,
        "sd": sd,
        "shrunk_mean": told.mu,
        "p_positive": told.p_positive,
        "reason": few,
    }


def kelly_json(found: Evidence | None, reason: str | None) -> Json:
    """`continuous` is the full fraction, uncapped; times `multiplier` and capped at 1 it is `fraction`."""
    if found is None:
        binary = {"p": None, "b": None, "fraction": None, "reason": reason}
        return {
            "binary": binary,
            "continuous": None,
            "multiplier": None,
            "fraction": None,
            "reason": reason,
        }
    told, odds = found.returns, found.binary
    full = (
        None
        if told.mu is None or told.v is None
        else max(told.mu / max(told.v, VARIANCE_FLOOR), 0.0)
    )
    return {
        "binary": {"p": odds.p, "b": odds.b, "fraction": odds.fraction, "reason": odds.reason},
        "continuous": full,
        "multiplier": found.multiplier,
        "fraction": told.fraction,
        "reason": None
        if found.multiplier is not None
        else f"{told.n} mature days with spend; a fraction needs {MIN_DAYS}",
    }


def _platform(campaign: Campaign, currency: str, window: Window) -> Json:
    """What the ad platform itself claims, beside what the shop's orders say; counts the same purchases in its own way."""
    days = [campaign.platform[day] for day in window.days() if day in campaign.platform]
    revenue = sum(each.revenue for each in days)
    claimed = bool(currency) and any(each.revenue_reports for each in days)
    spend = in_window(campaign.spend, window)
    return {
        "impressions": sum(each.impressions for each in days),
        "clicks": sum(each.clicks for each in days),
        "orders": sum(each.orders for each in days),
        "revenue": money(revenue, currency) if claimed else None,
        "roas": revenue / spend if claimed and spend else None,
        "reason": None if claimed else "the reports name no platform_revenue in one currency",
    }
