"""Brute force for a campaign's Kelly fraction and saturation, by another route to every formula."""

from math import exp, sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from scipy import optimize, special

from tests.support.oracles.budget_truth import Day, Merchant


def kelly_of(
    days: list[Day], older: list[Day], merchant: Merchant, rate: float, order_value: float
) -> dict[str, Any]:
    """Return statistics and Kelly fractions of campaign-days."""
    result: dict[str, Any] = dict.fromkeys(
        (
            *("mean", "sd", "mu", "v", "p_positive", "p", "b", "binary"),
            *("continuous", "multiplier", "fraction", "pooled", "precision", "day"),
            *("spend", "orders", "earned", "scatter"),
        )
    )
    margin, result["n"] = merchant.margin, len(days)
    if margin is None or not days:
        return result
    n, spend = len(days), np.array([d.spend for d in days], float)
    earned = margin * np.array([d.revenue for d in days], float)
    x = earned / spend - 1
    result["mean"] = np.average(x, weights=spend)
    share = spend / spend.sum()
    result["p"] = (n * share[x > 0].sum() + merchant.prior_days * rate) / (n + merchant.prior_days)
    if (x > 0).any() and (x < 0).any():
        gain = np.average(x[x > 0], weights=spend[x > 0])
        loss = -np.average(x[x < 0], weights=spend[x < 0])
        result["b"] = gain / loss
        result["binary"] = min(max(result["p"] - (1 - result["p"]) / result["b"], 0), 1)
    result["multiplier"] = None if n < 7 else merchant.kelly / 2 if n < 30 else merchant.kelly
    if n < 2:
        return result
    off = earned - (1 + result["mean"]) * spend
    result["sd"] = sqrt((off**2).sum() / (n - 1)) / spend.mean()
    psi = (off**2).sum() * n / (n - 1) / earned.sum() if earned.sum() else 0.0
    ghosts = 10 if order_value else 0
    counted = sum(d.orders for d in days) + ghosts
    if counted:
        psi = max(psi, (earned.sum() + ghosts * margin * order_value) / counted)
    psi = max(psi, 1e-4 * spend.mean())
    variance = psi / spend.sum()
    before = sum(d.spend for d in older)
    result["pooled"], part = result["mean"], 0.0
    if before and 1 / variance < 100:
        weight = min(before / psi, 100 - 1 / variance)
        earlier = margin * sum(d.revenue for d in older) / before - 1
        result["pooled"] = np.average([result["mean"], earlier], weights=[1 / variance, weight])
        variance = 1 / (1 / variance + weight)
        part = weight * psi / before
    result["precision"] = 1 / variance
    result["spend"] = spend.sum() + part * before
    result["orders"] = sum(d.orders for d in days) + part * sum(d.orders for d in older)
    result["earned"] = earned.sum() + part * margin * sum(d.revenue for d in older)
    per_order = result["earned"] / result["orders"] if result["orders"] else 0
    result["scatter"] = max(psi / per_order - 1 if per_order else 0, 0.05)
    spread = merchant.prior_sd**2 * variance / (merchant.prior_sd**2 + variance)
    result["mu"] = result["pooled"] * spread / variance
    result["day"] = psi / (merchant.bankroll or spend.mean())
    result["v"] = spread + result["day"] / merchant.horizon
    result["continuous"] = max(result["mu"] / max(result["v"], 1e-4), 0)
    if n >= 7:
        result["p_positive"] = student_below(result["mu"] / sqrt(spread), n - 1)
        result["fraction"] = min(result["multiplier"] * result["continuous"], 1)
    return result


def student_below(t: float, df: int) -> float:
    """Return how likely Student's t is below `t`, by the incomplete beta function. `scipy.stats`
    says the same, and takes a second to import."""
    tail = float(special.betainc(df / 2, 0.5, df / (df + t**2))) / 2
    return 1 - tail if t > 0 else tail


def saturation_of(
    days: list[Day], margin: float, surely: float
) -> tuple[float, float | None] | None:
    """Spend at which the marginal return of R = c s^beta is one, by brute force."""
    good = [d for d in days if d.revenue > 0]
    if len(days) - len(good) > 0.2 * len(days) or len(good) < 14:
        return None
    s, r = np.log([d.spend for d in good]), np.log([d.revenue for d in good])
    w = np.array([d.spend for d in good]) / np.mean([d.spend for d in good])
    off = (s - np.average(s, weights=w)) ** 2
    if sqrt(np.average(off, weights=w)) < 0.15 or (w * off).sum() ** 2 / ((w * off) ** 2).sum() < 5:
        return None
    (beta, intercept), cov = np.polyfit(s, r, 1, w=np.sqrt(w), cov=True)
    if not 0 < beta < 1 or sqrt(cov[0, 0]) > 0.2:
        return None
    half = (w @ (r - intercept - beta * s) ** 2) / (len(good) - 2) / 2
    centre_s, centre_r = np.average(s, weights=w), np.average(r, weights=w)
    far = 10 * max(d.spend for d in days)

    def root(slope: float, limit: float) -> float | None:
        level = centre_r - slope * centre_s + half

        def marginal(x: float) -> float:
            return float(margin * slope * exp(level + (slope - 1) * np.log(x)) - 1)

        if slope >= 1 or marginal(limit) > 0:
            return None
        return (
            0.0 if marginal(1e-9) < 0 else float(optimize.brentq(marginal, 1e-9, limit, xtol=1e-9))
        )

    cap = root(beta, far)
    if cap is None:
        return None
    return cap, root(beta + NormalDist().inv_cdf(surely) * sqrt(cov[0, 0]), 1e18)
