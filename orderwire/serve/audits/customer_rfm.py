"""The audit `customer_rfm`: the shop's customers by recency, frequency and monetary, and what they
are worth. Numbers are those of `GET /v1/rfm`."""

from dataclasses import replace
from typing import Any

import msgspec

from aggregates.rfm.answer.overview import RfmArrays, RfmSettings, RfmView, overview
from aggregates.rfm.answer.scores import RfmScores
from aggregates.rfm.answer.scores import rfm as scored
from aggregates.rfm.answer.window import in_window
from aggregates.rfm.first_orders.answer import first_orders_answer
from aggregates.rfm.value.fit import fit
from aggregates.rfm.value.ltv import predicted_ltv
from ingest.shopify.admin.errors import AdminError, AdminUnavailable
from ingest.shopify.admin.past.paged import count
from ingest.shopify.admin.past.windows import TimeSpan
from orderwire.serve.audits.step import (
    Audited,
    Json,
    StepFailed,
    StepResult,
    TryAgain,
    number,
)
from orderwire.serve.shops.admin import admin_client
from orderwire.serve.shops.answer_settings import rfm_settings
from orderwire.settings.program import ConfigurationError
from processors.audits.run import Issue
from query.as_of import today

DAY_S = 86_400
PATIENCE_S = 20.0
ASK_DOCTOR = "see `orderwire doctor`"
CHURN_HIGH = 0.8
AT_RISK = ("at_risk", "cannot_lose")


def fetch_orders(audited: Audited) -> StepResult:
    """How many orders the audit rests on, and where they come from."""
    view, day, _ = _view(audited)
    score = _scored(view, day)
    if not score.customers:
        raise StepFailed(
            f"no order of the last {audited.days} days is known",
            "see /v1/status whether orders arrive; `orderwire backfill` fills in the past",
        )
    known_days = int(day - view.btyd.key[1].min()) + 1
    at_shopify, issues = _at_shopify(audited)
    if known_days < audited.days and at_shopify is None:
        issues.append(
            Issue(
                "warning",
                f"orders are known for {known_days} of {audited.days} days",
                "`orderwire backfill` fills in the past",
            ),
        )
    return StepResult(
        {
            "source": "store" if at_shopify is None else "admin_api",
            "orders_at_shopify": at_shopify,
            "orders": score.orders,
            "days": audited.days,
            "days_known": min(known_days, audited.days),
        },
        tuple(issues),
    )


def _at_shopify(audited: Audited) -> tuple[int | None, list[Issue]]:
    """How many orders of the window Shopify has, and what is wrong with ours; None where it cannot
    be asked."""
    if not audited.shop.has_admin_api:
        return None, []
    now_s = audited.now_ms // 1_000
    span = TimeSpan(now_s - audited.days * DAY_S, now_s)
    try:
        client = admin_client(audited.shop, audited.store, patience_s=PATIENCE_S)
        try:
            found = count(client, "processed_at", span)
        finally:
            client.close()
    except AdminUnavailable as error:
        raise TryAgain(f"the Admin API cannot answer: {error}") from None
    except (AdminError, ConfigurationError) as error:
        return None, [Issue("warning", f"orders are those of the store: {error}", ASK_DOCTOR)]
    with audited.store.snapshot() as snapshot:
        ((known,),) = snapshot.query(
            "SELECT COUNT(*) FROM shop_order WHERE shop = :shop AND processed_ms >= :since"
            " AND updated_us >= 0 AND deleted = 0",
            shop=audited.shop.domain,
            since=span.from_s * 1_000,
        )
    if known >= found:
        return found, []
    lacking = f"Shopify has {found} orders of these days, {known} of them are known here"
    return found, [Issue("warning", lacking, "`orderwire backfill` brings the others")]


def calculate_rfm(audited: Audited) -> StepResult:
    """Scores, segments and churn."""
    answer = _overview(audited)
    simple = answer["ltv_simple"] or {}
    churn = answer["churn"]["rate"]
    orders, customers = answer["orders"], answer["customers"]["in_window"]
    issues = []
    if churn is not None and churn > CHURN_HIGH:
        issues.append(
            Issue(
                "warning",
                f"{churn:.0%} of all customers have not ordered for"
                f" {answer['churn']['after_days']} days",
                "win back the segments at_risk and cannot_lose first",
            )
        )
    at_risk = [each for each in answer["segments"] or () if each["segment"] in AT_RISK]
    if sum(each["revenue_share"] for each in at_risk) > 0.25:
        issues.append(
            Issue(
                "warning",
                "customers at risk of leaving bring over a quarter of the revenue",
                "see GET /v1/rfm/customers?segment=at_risk",
            )
        )
    if answer["reason"]:
        issues.append(Issue("info", answer["reason"], "nothing to do: it takes more orders"))
    summary = {
        "total_customers": customers,
        "avg_order_value": number(simple.get("average_order_value")),
        "avg_frequency": round(orders / customers, 4) if customers else None,
        "churn_rate": None if churn is None else round(100 * churn, 2),
        "currency": (answer["revenue"] or {}).get("currency_code"),
    }
    kept = ("customers", "orders", "revenue", "scores", "segments", "churn")
    return StepResult({name: answer[name] for name in kept}, tuple(issues), summary)


def calculate_ltv(audited: Audited) -> StepResult:
    """Lifetime value, simple and predicted."""
    answer = _overview(audited)
    simple, predicted = answer["ltv_simple"], answer["ltv_predicted"]
    issues: tuple[Issue, ...] = ()
    if predicted["reason"]:
        issues = (Issue("info", predicted["reason"], "the simple value is there meanwhile"),)
    return StepResult(
        {"ltv_simple": simple, "ltv_predicted": predicted},
        issues,
        {
            "avg_ltv": None if simple is None else number(simple["capped"]["ltv"]),
            "avg_ltv_predicted": number(predicted["ltv"]),
        },
    )


STEPS = {
    "fetch_orders": fetch_orders,
    "calculate_rfm": calculate_rfm,
    "calculate_ltv": calculate_ltv,
}


def _view(audited: Audited) -> tuple[RfmView, int, RfmSettings]:
    """The shop as the run's first step found it: loading all cells takes longer than the rest."""
    if "view" not in audited.shared:
        audited.shared["view"] = _loaded(audited)
    found: tuple[RfmView, int, RfmSettings] = audited.shared["view"]
    return found


def _loaded(audited: Audited) -> tuple[RfmView, int, RfmSettings]:
    settings = rfm_settings(audited.shop, audited.settings.rfm_window_days)
    arrays = RfmArrays(audited.store)
    with arrays.snapshot_view(audited.shop.domain) as (snapshot, view):
        day = today(audited.now_ms, audited.shop.zone) if view.as_of_day is None else view.as_of_day
        if audited.days != settings.window_days:
            view = replace(view, cells=in_window(snapshot, view.key, day, audited.days))
    return view, day, replace(settings, window_days=audited.days)


def _scored(view: RfmView, day: int) -> RfmScores:
    return scored(*view.cells.key, *view.cells.measures, asof_day=day)


def _overview(audited: Audited) -> Json:
    view, day, settings = _view(audited)
    predicted = predicted_ltv(fit(view, day, settings, audited.now_ms), settings, view.currency)
    answer: Any = msgspec.to_builtins(
        overview(view, day, _scored(view, day), settings, predicted, first_orders_answer(None))
    )
    return dict(answer)
