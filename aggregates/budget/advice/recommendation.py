"""From a Kelly fraction to tomorrow's budget (docs/facts/analytics.md, "Recommendation",
"Guardrails")."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

MAX_CHANGE: Final = 0.3

Binding: TypeAlias = Literal[
    "kelly", "bankroll", "saturation", "step_up", "step_down", "zero_edge", "too_few_days"
]


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A daily budget, in the unit of its inputs; `target` is its goal, None without advice.

    `reason` is increase_capped, decrease_capped, target, seed or insufficient_data; `pause`
    suggests stopping the campaign.
    """

    target: float | None
    budget: float
    binding: Binding
    reason: str
    pause: bool = False


def recommend(
    current: float,
    bankroll: float,
    f: float | None,
    saturation_cap: float | None = None,
    *,
    max_change: float = MAX_CHANGE,
    seed: float = 0.0,
) -> Recommendation:
    """One campaign's budget; `current`, `bankroll`, `saturation_cap`, `seed` per day in one
    currency and unit, >= 0.

    target = min(f * bankroll, saturation cap), approached by at most 30 % a day. A campaign without
    a budget starts at min(target, seed); without a fraction today's budget stays; without an edge
    (f = 0) it steps down with the flag to pause.
    """
    if f is None:
        return Recommendation(None, current, "too_few_days", "insufficient_data")
    staked = f * bankroll
    saturated = saturation_cap is not None and saturation_cap < staked
    target = saturation_cap if saturated and saturation_cap is not None else staked
    wanted: Binding = (
        "zero_edge"
        if f <= 0.0
        else "saturation"
        if saturated
        else "bankroll"
        if f >= 1.0
        else "kelly"
    )
    pause = f <= 0.0
    if current <= 0.0:
        return Recommendation(
            target, min(target, seed), "step_up" if target > seed else wanted, "seed", pause
        )
    low, high = current * (1.0 - max_change), current * (1.0 + max_change)
    if target > high:
        return Recommendation(target, high, "step_up", "increase_capped", pause)
    if target < low:
        return Recommendation(
            target, low, "zero_edge" if pause else "step_down", "decrease_capped", pause
        )
    return Recommendation(target, target, wanted, "target", pause)


def within_bankroll(
    recommendations: Sequence[Recommendation],
    currents: Sequence[float],
    bankroll: float,
    *,
    max_change: float = MAX_CHANGE,
) -> list[Recommendation]:
    """The same recommendations, lowered so that their budgets sum to at most `bankroll`; lowered
    ones say so.

    First the amounts above the step-down limits are scaled, then the limits themselves.
    """
    total = sum(each.budget for each in recommendations)
    if total <= bankroll:
        return list(recommendations)
    floors = [
        min(r.budget, c * (1.0 - max_change))
        for r, c in zip(recommendations, currents, strict=True)
    ]
    if sum(floors) >= bankroll:
        lowered = [floor * bankroll / sum(floors) for floor in floors]
    else:
        share = (bankroll - sum(floors)) / (total - sum(floors))
        lowered = [
            floor + (r.budget - floor) * share
            for r, floor in zip(recommendations, floors, strict=True)
        ]
    return [
        replace(r, budget=budget, binding="bankroll") if budget < r.budget else r
        for r, budget in zip(recommendations, lowered, strict=True)
    ]
