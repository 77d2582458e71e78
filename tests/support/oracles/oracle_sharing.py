"""Brute force for the budgets of several campaigns that share a bankroll."""

from math import ceil, floor
from typing import Any

import numpy as np
from scipy import optimize

from tests.support.oracles.budget_truth import Merchant


def compared(means: list[float], precisions: list[float]) -> list[tuple[float, float]]:
    """Posterior mean and variance of each campaign, all drawn from one normal distribution."""
    y, w = np.array(means), np.array(precisions)
    excess = w @ (y - np.average(y, weights=w)) ** 2 - (len(y) - 1)
    unit = w.sum() - (w**2).sum() / w.sum()
    tau2 = max(excess / unit if unit > 0 else 0.0, 1e-6)
    centre = np.average(y, weights=1 / (tau2 + 1 / w))
    return [
        (float(np.average([one, centre], weights=[p, 1 / tau2])), float(1 / (p + 1 / tau2)))
        for one, p in zip(means, precisions, strict=True)
    ]


def returns(k: list[dict[str, Any]]) -> list[tuple[float, float]]:
    """Mean and variance of each return: orders per spend times the value of an order."""
    spend, orders, earned, scatter = (
        np.array([each[name] for each in k], float)
        for name in ("spend", "orders", "earned", "scatter")
    )
    if not orders.sum() or not earned.sum():
        return compared([each["pooled"] for each in k], [each["precision"] for each in k])
    expected = spend * orders.sum() / spend.sum()
    worth = np.divide(earned, orders, out=np.ones_like(earned), where=orders > 0)
    relative = np.where(orders > 0, worth / (earned.sum() / orders.sum()), 1.0)
    noise = np.average(scatter, weights=orders)
    rate = np.array(compared(list(orders / expected), list(expected)))
    value = np.array(compared(list(relative), list(np.maximum(orders / noise, 1e-6))))
    gross = earned.sum() / spend.sum() * rate[:, 0] * value[:, 0]
    share = sum(part[:, 1] / np.maximum(part[:, 0], 0.1) ** 2 for part in (rate, value))
    return list(zip(gross - 1, gross**2 * share, strict=True))


def together(
    items: list[dict[str, Any]],
    bounds: list[tuple[float, float]],
    available: float,
    merchant: Merchant,
) -> list[float]:
    """max f'm - f'Vf/2 within bounds, sum of budgets = available: the price of money is a root."""
    assert merchant.bankroll is not None
    k = [item["kelly"] for item in items]
    if sum(high for _, high in bounds) <= available:
        return [high for _, high in bounds]
    low, high = np.array(bounds, float).T
    if low.sum() >= available:
        return list(low * available / max(low.sum(), 1))
    posterior = np.array(returns(k))
    v = np.maximum(posterior[:, 1] + np.array([each["day"] for each in k]) / merchant.horizon, 1e-4)
    edge = np.array([each["multiplier"] for each in k]) * posterior[:, 0]

    def budgets(price: float) -> Any:
        return np.clip((edge - price) / v * merchant.bankroll, low, high)

    price = optimize.brentq(
        lambda nu: float(budgets(nu).sum() - available),
        -1e9,
        1e3,
        xtol=1e-14,
        rtol=1e-14,
        maxiter=500,
    )
    found = budgets(price)
    return list(
        found + (available - found.sum()) * (high - found) / max((high - found).sum(), 1e-9)
    )


def budgets(items: list[dict[str, Any]], merchant: Merchant, elsewhere: int) -> None:
    """Fill `recommended`, `target` and `binding` into items that have kelly, cap and current."""
    assert merchant.bankroll is not None
    step = merchant.step
    seed = merchant.seed if merchant.seed is not None else merchant.bankroll // 100
    bankroll = max(
        merchant.bankroll - elsewhere,
        min(merchant.bankroll, floor(sum(item["current"] for item in items) * (1 - step))),
    )
    for item in items:
        k, current = item["kelly"], item["current"]
        item["losing"] = item["free"] = False
        low, high = (1 - step) * current, (1 + step) * current
        if k["fraction"] is None:
            item["wanted"], item["goal"], item["binding"] = (
                float(current),
                float(current),
                "too_few_days",
            )
            continue
        item["losing"] = 1 - k["p_positive"] >= merchant.cut
        item["free"] = not item["losing"]
        staked = 0.0 if item["losing"] else max(k["fraction"] * merchant.bankroll, current)
        target, why = staked, "bankroll" if staked >= merchant.bankroll else "kelly"
        if item["cap"] is not None:
            cap, surely = item["cap"]
            if cap < current:
                cap = current if surely is None else min(surely, current)
            if cap < target:
                target, why = cap, "saturation"
        if item["losing"]:
            why = "zero_edge"
        item["goal"] = target
        if current == 0:
            item["wanted"], item["binding"] = min(target, seed), "step_up" if target > seed else why
        elif target > high:
            item["wanted"], item["binding"] = high, "step_up"
        elif target < low:
            item["wanted"], item["binding"] = low, why if item["losing"] else "step_down"
        else:
            item["wanted"], item["binding"] = target, why
    free = [item for item in items if item["free"]]
    fixed = [item for item in items if not item["free"]]
    if sum(item["wanted"] for item in items) > bankroll:
        floors = [min(item["wanted"], (1 - step) * item["current"]) for item in items]
        room = bankroll - sum(item["wanted"] for item in fixed)
        own = [min(item["wanted"], (1 - step) * item["current"]) for item in free]
        if free and sum(own) <= room:
            bounds = [(low, item["wanted"]) for low, item in zip(own, free, strict=True)]
            lowered = together(free, bounds, room, merchant)
            pairs = list(zip(free, lowered, strict=True))
        elif sum(floors) >= bankroll:
            pairs = [
                (i, low * bankroll / sum(floors)) for i, low in zip(items, floors, strict=True)
            ]
        else:
            k = (bankroll - sum(floors)) / (sum(i["wanted"] for i in items) - sum(floors))
            pairs = [
                (i, low + (i["wanted"] - low) * k) for i, low in zip(items, floors, strict=True)
            ]
        for item, budget in pairs:
            if budget < item["wanted"] - 1e-6:
                item["binding"] = "bankroll"
            item["wanted"] = budget
    if (goals := sum(item["goal"] for item in items)) > bankroll:
        if free:
            room = max(bankroll - sum(item["goal"] for item in fixed), 0.0)
            found = together(free, [(0.0, item["goal"]) for item in free], room, merchant)
            for item, goal in zip(free, found, strict=True):
                item["goal"] = goal
        else:
            for item in items:
                item["goal"] *= bankroll / goals
    for item in items:
        low = ceil(round((1 - step) * item["current"], 6))
        high = floor(round((1 + step) * item["current"], 6))
        item["recommended"] = max(floor(round(item["wanted"], 6)), min(low, high))
        if item["current"] == 0:
            item["recommended"] = floor(round(item["wanted"], 6))
        item["target"] = floor(round(item["goal"], 6))
    if sum(item["recommended"] for item in items) > bankroll:
        for item in items:
            item["recommended"] = floor(item["wanted"])
