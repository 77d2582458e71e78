"""The audit `ads_optimization`: what campaigns return, and the budgets that follow. Numbers are
those of `GET /v1/budget`."""

from typing import Any

import msgspec

from aggregates.budget.answer.overview import budget
from orderwire.serve.audits.step import Audited, Json, StepFailed, StepResult, number
from orderwire.serve.shops.answer_settings import budget_settings
from processors.audits.run import Issue
from query.as_of import today, zone_of

DAYS = 30
MATERIAL = 0.2
"""Of all orders; beyond it the campaigns' returns are understated."""


def fetch_spend(audited: Audited) -> StepResult:
    """Which campaigns are known, and what they cost."""
    answer = _answer(audited)
    if not answer["campaigns"]:
        raise StepFailed(
            "no ad spend is known",
            "`orderwire spend pull` asks Meta; `orderwire spend import FILE` reads an export",
        )
    total = answer["total"]
    return StepResult(
        {"campaigns": len(answer["campaigns"]), "spend": total["spend"], "days": answer["days"]},
        (),
        {
            "campaigns": len(answer["campaigns"]),
            "spend": number(total["spend"]),
            "currency": (total["spend"] or {}).get("currency_code"),
        },
    )


def calculate_returns(audited: Audited) -> StepResult:
    """What each campaign earned."""
    answer = _answer(audited)
    total = answer["total"]
    share = answer["meta_unassigned"]["share"] or 0
    issues = [Issue("warning", reason, "see GET /v1/budget") for reason in answer["reasons"]]
    if share > MATERIAL:
        issues.append(
            Issue(
                "warning",
                f"{share:.0%} of orders came by a Meta ad whose link names no campaign",
                "add utm_id={{campaign.id}} to the URL parameters of the ads",
            )
        )
    named = ("campaign_id", "name", "channel", "spend", "revenue", "roas", "daily_return")
    return StepResult(
        {"campaigns": [{name: each[name] for name in named} for each in answer["campaigns"]]},
        tuple(issues),
        {"roas": total["roas"], "orders": total["orders"]},
    )


def recommend_budgets(audited: Audited) -> StepResult:
    """What to spend on each campaign tomorrow, and why."""
    answer = _answer(audited)
    total = answer["total"]
    issues = [
        Issue("info", f"{each['name']}: {each['reason']}", "see GET /v1/budget")
        for each in answer["campaigns"]
        if each["reason"]
    ]
    named = ("campaign_id", "name", "current_budget", "recommended_budget", "target_budget", "why")
    return StepResult(
        {"campaigns": [{name: each[name] for name in named} for each in answer["campaigns"]]},
        tuple(issues),
        {
            "current_budget": number(total["current_budget"]),
            "recommended_budget": number(total["recommended_budget"]),
        },
    )


STEPS = {
    "fetch_spend": fetch_spend,
    "calculate_returns": calculate_returns,
    "recommend_budgets": recommend_budgets,
}


def _answer(audited: Audited) -> Json:
    domain = audited.shop.domain
    with audited.store.snapshot() as snapshot:
        day = today(audited.now_ms, zone_of(snapshot, domain, audited.shop.zone))
        found = budget(snapshot, domain, day, budget_settings(audited.shop), DAYS)
    answer: Any = msgspec.to_builtins(found)
    return dict(answer)
