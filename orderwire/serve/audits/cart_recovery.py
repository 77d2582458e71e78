"""The audit `cart_recovery`: abandoned checkouts, and what of them can still be recovered. Numbers
are those of `GET /v1/carts`."""

from typing import Any

import msgspec

from aggregates.carts.answer.overview import CartSettings, carts
from orderwire.serve.audits.step import Audited, Json, StepFailed, StepResult, number
from processors.audits.run import Issue

ABANDONED_HIGH = 0.8
RECOVERED_LOW = 0.03


def fetch_checkouts(audited: Audited) -> StepResult:
    """How many checkouts are known, by what became of them."""
    answer = _answer(audited)
    if answer["reason"]:
        raise StepFailed(
            "no checkout is known", "`orderwire subscribe` asks Shopify for checkouts/*"
        )
    states = answer["states"]
    return StepResult(
        {"states": states, "kept_days": answer["kept_days"]},
        (),
        {"checkouts": sum(state["carts"] for state in states.values())},
    )


def calculate_rates(audited: Audited) -> StepResult:
    """How many are abandoned, and how many of those come back."""
    answer = _answer(audited)
    abandonment, recovery = answer["abandonment_rate"], answer["recovery_rate"]
    within_week = recovery[-1]["value"]
    issues = []
    if (abandonment["value"] or 0) > ABANDONED_HIGH:
        issues.append(
            Issue(
                "warning",
                f"{abandonment['value']:.0%} of checkouts are abandoned",
                "look at shipping costs, payment methods and forced accounts in the checkout",
            )
        )
    if within_week is not None and within_week < RECOVERED_LOW:
        issues.append(
            Issue(
                "info",
                f"{within_week:.1%} of abandoned checkouts come back within a week",
                "write to them: GET /v1/carts/open lists those worth most, with their links",
            )
        )
    return StepResult(
        {"abandonment_rate": abandonment, "recovery_rate": recovery},
        tuple(issues),
        {
            "abandonment_rate": _percent(abandonment["value"]),
            "recovery_rate": _percent(within_week),
        },
    )


def estimate_recovery(audited: Audited) -> StepResult:
    """What open carts are still worth."""
    answer = _answer(audited)
    potential = answer["recovery_potential"]
    return StepResult(
        {"recovery_potential": potential, "strata": answer["strata"]},
        (),
        {
            "open_carts": potential["open_carts"],
            "open_value": number(potential["open_value"]),
            "recovery_potential": number(potential["expected"]),
            "currency": (potential["open_value"] or {}).get("currency_code"),
        },
    )


STEPS = {
    "fetch_checkouts": fetch_checkouts,
    "calculate_rates": calculate_rates,
    "estimate_recovery": estimate_recovery,
}


def _answer(audited: Audited) -> Json:
    settings = CartSettings(
        abandoned_after_minutes=audited.settings.abandoned_after_minutes,
        currency=audited.shop.currency,
    )
    with audited.store.snapshot() as snapshot:
        found = carts(snapshot, audited.shop.domain, audited.now_ms, settings)
    answer: Any = msgspec.to_builtins(found)
    return dict(answer)


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 2)
