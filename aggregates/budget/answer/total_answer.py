"""`total` of `GET /v1/budget`: all campaigns and all orders of the shop together. Its ROAS is
blended: every order counts; `attributed` is the part that campaigns earned."""

from collections.abc import Sequence
from decimal import Decimal

from aggregates.budget.advice.evidence import Evidence
from aggregates.budget.answer import schema
from aggregates.budget.answer.assessment import Assessment
from aggregates.budget.answer.campaign_answer import (
    NO_BANKROLL,
    NO_MARGIN,
    daily_return,
    kelly_answer,
    roas,
)
from aggregates.budget.answer.campaigns import AdAccount
from aggregates.budget.answer.terms import Terms
from aggregates.budget.answer.window import total
from stream.money import money


def total_answer(
    ads: AdAccount, assessed: Sequence[Assessment], together: Evidence | None, terms: Terms
) -> schema.Total:
    """`together` is the evidence of all campaigns with spend taken as one."""
    attributed_orders = sum(total(each.orders, terms.recent) for each in ads.campaigns)
    attributed = sum(total(each.revenue, terms.recent) for each in ads.campaigns)
    revenue = attributed + sum(total(each.revenue, terms.recent) for each in ads.buckets.values())
    spend = sum(
        total(each.spend, terms.recent)
        for each in ads.campaigns
        if each.spend_currency == terms.currency
    )
    foreign = any(each.spend_currency not in (None, terms.currency) for each in ads.campaigns)
    days = terms.coverage.known_anywhere(terms.recent)
    own = [each for each in ads.campaigns if each.spend_currency in (None, terms.currency)]
    attributed_roas = None if foreign else roas(own, days)
    everything = sum(each.revenue[day] for each in ads.campaigns for day in days) + sum(
        each.revenue[day] for each in ads.buckets.values() for day in days
    )
    compared = sum(each.spend[day] for each in own for day in days)
    reason = None
    if foreign:
        reason = "spend in another currency cannot be added"
    elif not spend:
        reason = "there is no spend"
    elif not compared:
        reason = "there is no day on which both spend and orders are known"
    currents = [each.current for each in assessed if each.current is not None]
    advised = [each.advice for each in assessed if each.advice is not None]
    recommended = sum(each.recommended for each in advised)
    target = sum(each.target for each in advised)
    return schema.Total(
        spend=money(spend, terms.currency),
        revenue=money(revenue, terms.currency),
        orders=attributed_orders
        + sum(total(each.orders, terms.recent) for each in ads.buckets.values()),
        roas=everything / compared if compared and not foreign else None,
        roas_days=len(days),
        attributed=schema.Attributed(
            orders=attributed_orders,
            revenue=money(attributed, terms.currency),
            roas=attributed_roas,
            reason=reason,
        ),
        daily_return=daily_return(together, NO_MARGIN),
        kelly=kelly_answer(together, NO_MARGIN),
        current_budget=money(sum(currents), terms.currency) if currents else None,
        recommended_budget=money(recommended, terms.currency) if advised else None,
        target_budget=money(target, terms.currency) if advised else None,
        reason="; ".join(filter(None, (reason, None if advised else _unadvised(assessed, terms))))
        or None,
    )


def missing(margin: float | None, bankroll: Decimal | int | None) -> list[str]:
    """The settings that advice lacks."""
    return [
        reason for value, reason in ((margin, NO_MARGIN), (bankroll, NO_BANKROLL)) if value is None
    ]


def _unadvised(assessed: Sequence[Assessment], terms: Terms) -> str:
    if any(each.withheld for each in assessed):
        return "advice is withheld: see the campaigns' reasons"
    return (
        "; ".join(missing(terms.margin, terms.bankroll))
        or "no campaign has a full day with spend in the shop's currency yet"
    )
