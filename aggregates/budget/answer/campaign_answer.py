"""One campaign of `GET /v1/budget`, every null with its reason."""

from collections.abc import Sequence
from typing import Final

from aggregates.budget.advice.evidence import Evidence
from aggregates.budget.advice.kelly import MIN_DAYS, VARIANCE_FLOOR
from aggregates.budget.answer import schema
from aggregates.budget.answer.assessment import Assessment
from aggregates.budget.answer.campaigns import CampaignDays
from aggregates.budget.answer.terms import Terms
from aggregates.budget.answer.why import why
from aggregates.budget.answer.window import Window, day_text, total
from stream.money import MoneyJson, money

NO_MARGIN: Final = (
    "the contribution margin is not known: set AD_MARGIN (a fraction of revenue, above 0 and at "
    "most 1)"
)
NO_BANKROLL: Final = (
    "the ad bankroll per day is not known: set AD_BANKROLL (in the shop's currency)"
)
NO_SPEND: Final = "no spend was reported for it"
AMBIGUOUS: Final = (
    "several campaigns go by this name: put utm_id={{campaign.id}} into the ads' links"
)
PAUSE: Final = "consider a pause: the mean return is most likely below zero"
BEYOND_STEP: Final = (
    "the bankroll is so far below today's budgets that the step down is larger than usual"
)


def campaign_answer(assessed: Assessment, terms: Terms) -> schema.Campaign:
    """An item of `campaigns`; money and orders of the recent window, returns of the mature one."""
    campaign, found, advice = assessed.campaign, assessed.evidence, assessed.advice
    reason = _reason(assessed, terms)
    spend, revenue = total(campaign.spend, terms.recent), total(campaign.revenue, terms.recent)
    currency = terms.currency if campaign.spend_currency is None else campaign.spend_currency
    kelly = kelly_answer(found, reason)
    compared = terms.coverage.known(campaign.channel, terms.recent)
    share = advice.target / terms.bankroll if advice and terms.bankroll else None
    cap = assessed.saturation.cap if assessed.saturation else None
    return schema.Campaign(
        campaign_id=campaign.campaign_id,
        name=campaign.name,
        channel=campaign.channel or None,
        days=assessed.judged_days,
        spend=money(spend, currency) if currency else None,
        revenue=money(revenue, terms.currency),
        orders=total(campaign.orders, terms.recent),
        roas=roas([campaign], compared) if currency == terms.currency else None,
        roas_days=len(compared),
        daily_return=daily_return(found, reason),
        kelly=schema.CampaignKelly(
            binary=kelly.binary,
            continuous=kelly.continuous,
            multiplier=kelly.multiplier,
            fraction=kelly.fraction,
            shared_fraction=share,
            reason=kelly.reason or reason,
        ),
        saturation=None if cap is None else money(cap, terms.currency),
        saturation_reason=assessed.saturation.reason if assessed.saturation else reason,
        current_budget=_money(assessed.current, terms),
        recommended_budget=_money(advice.recommended if advice else None, terms),
        target_budget=_money(advice.target if advice else None, terms),
        binding_constraint=advice.binding if advice else None,
        why=why(assessed, terms, reason),
        platform=_platform(campaign, currency, terms.recent),
        issues=_issues(assessed, terms),
        reason=reason,
    )


def roas(campaigns: Sequence[CampaignDays], days: Sequence[int]) -> float | None:
    """Revenue per unit of spend over `days`, on which both are known; None without spend."""
    spend = sum(each.spend[day] for each in campaigns for day in days)
    revenue = sum(each.revenue[day] for each in campaigns for day in days)
    return revenue / spend if spend else None


def _money(units: int | None, terms: Terms) -> MoneyJson | None:
    return None if units is None else money(units, terms.currency)


def _issues(assessed: Assessment, terms: Terms) -> list[str]:
    campaign, advice = assessed.campaign, assessed.advice
    issues = [AMBIGUOUS] if campaign.candidates else []
    if advice is not None and advice.pause:
        issues.append(PAUSE)
    if advice is not None and advice.beyond_step:
        issues.append(BEYOND_STEP)
    if campaign.spend_currency is not None and (ended := stopped(campaign.channel, terms)):
        issues.append(ended)
    return [*issues, *campaign.ad_issues]


def stopped(channel: str, terms: Terms) -> str | None:
    """The note on a channel whose spend reports are overdue."""
    last = terms.coverage.stopped(channel, terms.recent.last, terms.immature_days)
    if last is None:
        return None
    return (
        f"the spend reports of {channel} stop at {day_text(last)}: later days are not judged, and "
        "today's budgets are those of that day. Import what is missing (`orderwire spend --help`)"
    )


def _reason(assessed: Assessment, terms: Terms) -> str | None:
    """Why nothing is recommended, or why today's budget stays."""
    campaign, found = assessed.campaign, assessed.evidence
    if campaign.spend_currency is None:
        return NO_SPEND
    if campaign.spend_currency == "":
        return (
            "its spend is reported in several currencies; the shop's is "
            f"{terms.currency}, and none can be converted"
        )
    if campaign.spend_currency != terms.currency:
        return (
            f"its spend is in {campaign.spend_currency}, the shop's currency is {terms.currency}, "
            "and neither can be converted"
        )
    if terms.margin is None:
        return NO_MARGIN
    if found is None:
        return "it has no spend in the days that are judged"
    if assessed.current is None:
        return "it has no full day with spend yet, so today's budget is not known"
    if assessed.withheld:
        return "; ".join(assessed.withheld)
    if found.multiplier is None:
        return (
            f"{found.n} mature days on which spend and orders are known, and advice needs "
            f"{MIN_DAYS}: today's budget stays"
        )
    return NO_BANKROLL if terms.bankroll is None else None


def daily_return(found: Evidence | None, reason: str | None) -> schema.DailyReturn:
    """Returns per unit of spend; `reason` if they are unknown."""
    if found is None:
        return schema.DailyReturn(
            mean=None, sd=None, shrunk_mean=None, p_positive=None, reason=reason
        )
    few = None
    if found.p_positive is None:
        few = f"{found.n} judged days; a spread needs 2, and a probability {MIN_DAYS}"
    return schema.DailyReturn(
        mean=found.mean,
        sd=found.sd,
        shrunk_mean=found.shrunk_mean,
        p_positive=found.p_positive,
        reason=few,
    )


def kelly_answer(found: Evidence | None, reason: str | None) -> schema.Kelly:
    """`continuous` is the full fraction, uncapped; by `multiplier`, capped at 1, `fraction`."""
    if found is None:
        return schema.Kelly(
            binary=schema.BinaryKelly(p=None, b=None, fraction=None, reason=reason),
            continuous=None,
            multiplier=None,
            fraction=None,
            reason=reason,
        )
    odds, full = found.binary, None
    if found.shrunk_mean is not None and found.horizon_variance is not None:
        full = max(found.shrunk_mean / max(found.horizon_variance, VARIANCE_FLOOR), 0.0)
    few = None
    if found.multiplier is None:
        few = f"{found.n} judged days; a fraction needs {MIN_DAYS}"
    return schema.Kelly(
        binary=schema.BinaryKelly(p=odds.p, b=odds.b, fraction=odds.fraction, reason=odds.reason),
        continuous=full,
        multiplier=found.multiplier,
        fraction=found.fraction,
        reason=few,
    )


def _platform(campaign: CampaignDays, currency: str, window: Window) -> schema.Platform:
    """The ad platform's own report; it counts the same purchases in its own way."""
    days = [campaign.platform[day] for day in window.days() if day in campaign.platform]
    revenue = sum(each.revenue for each in days)
    claimed = bool(currency) and any(each.revenue_reports for each in days)
    spend = total(campaign.spend, window)
    return schema.Platform(
        impressions=sum(each.impressions for each in days),
        clicks=sum(each.clicks for each in days),
        orders=sum(each.orders for each in days),
        revenue=money(revenue, currency) if claimed else None,
        roas=revenue / spend if claimed and spend else None,
        reason=None if claimed else "the reports name no platform_revenue in one currency",
    )
