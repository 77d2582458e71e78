"""Brute force for /v1/budget: every number of the answer from plain lists of sales and costs,
without `aggregates`: no cells, no joins, and another route to every formula. Money is integer minor
units, days are whole days since 1970-01-01."""

from dataclasses import dataclass
from decimal import Decimal
from math import ceil, exp, floor, sqrt
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize, stats

DIGITS = {"USD": 2, "EUR": 2, "JPY": 0}


class Sale(NamedTuple):
    """An order as it finally stands. `campaign` is (channel, id, name) of a cost, of a link without
    costs, or (channel, "", "")."""

    day: int
    kept: int
    currency: str
    campaign: tuple[str, str, str]


class Cost(NamedTuple):
    """The last report of one campaign-day."""

    day: int
    channel: str
    campaign_id: str
    name: str
    currency: str
    spend: int
    clicks: int
    platform_revenue: int | None


@dataclass(frozen=True)
class Merchant:
    """Settings, money in minor units."""

    currency: str
    bankroll: int | None
    margin: float | None
    days: int = 30
    immature: int = 3
    shown: int | None = None
    """Days that are asked for; what is advised does not depend on it."""
    step: float = 0.3
    seed: int | None = None
    kelly: float = 0.5
    prior_days: float = 10
    prior_sd: float = 0.2
    horizon: int = 30
    cut: float = 0.75


def amount(units: float | None, currency: str) -> dict[str, str] | None:
    if units is None:
        return None
    return {
        "amount": str(Decimal(round(units)).scaleb(-DIGITS[currency])),
        "currency_code": currency,
    }


class Day(NamedTuple):
    spend: int
    revenue: int
    orders: int


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
        result["p_positive"] = stats.t.sf(0, df=n - 1, loc=result["mu"], scale=sqrt(spread))
        result["fraction"] = min(result["multiplier"] * result["continuous"], 1)
    return result


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
    return cap, root(beta + stats.norm.ppf(surely) * sqrt(cov[0, 0]), 1e18)


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


def current_of(costs: list[Cost], reported: set[int], today: int, immature: int) -> int | None:
    """The newest known full day's spend."""
    by_day = {cost.day: cost.spend for cost in costs if cost.day < today}
    if not any(by_day.values()):
        return None
    last = max(by_day)
    return by_day[last] if max(day for day in reported if day < today) - last <= immature else 0


def unassigned_of(
    items: list[dict[str, Any]], sales: list[Sale], known: dict[str, set[int]]
) -> dict[str, bool]:
    """By channel with spend: whether too much of its revenue has no campaign that spends.

    Names that two campaigns have do not occur in what is simulated.
    """
    material = {}
    for channel, days in known.items():
        own = {item["key"] for item in items if item["costs"] and item["key"][0] == channel}
        here = [s for s in sales if s.day in days and s.campaign[0] == channel]
        lost = sum(s.kept for s in here if s.campaign not in own)
        for item in items:
            if item["key"] in own and not item["key"][1]:
                spent = [c.day for c in item["costs"] if c.spend]
                if spent:
                    lost += sum(
                        s.kept for s in item["sales"] if s.day in days and s.day > max(spent) + 7
                    )
        material[channel] = lost > 0.1 * sum(s.kept for s in here)
    return material


def budget(sales: list[Sale], costs: list[Cost], today: int, merchant: Merchant) -> dict[str, Any]:
    """The numbers of the answer."""
    own = merchant.currency

    def money(units: float | None) -> dict[str, str] | None:
        return amount(units, own)

    recent = range(today - (merchant.shown or merchant.days) + 1, today + 1)
    mature = range(today - merchant.immature - merchant.days + 1, today - merchant.immature + 1)
    older = range(mature.start - 60, mature.start)
    read = range(min(recent.start, mature.start), today + 1)
    all_costs, all_sales = costs, [s for s in sales if s.currency == own]
    first_order = min(s.day for s in sales)
    known = {
        channel: {c.day for c in all_costs if c.channel == channel and c.day >= first_order}
        for channel in {c.channel for c in all_costs if c.day in read}
    }
    costs, sales = [c for c in costs if c.day in read], [s for s in sales if s.day in read]
    left_out = [s for s in sales if s.currency != own and s.day in recent]
    sales = [s for s in sales if s.currency == own]
    valued = [s for s in all_sales if older.start <= s.day <= mature[-1]]
    order_value = sum(s.kept for s in valued) / len(valued) if valued else 0.0

    def days_of(
        window: range, key: tuple[str, str, str], its: list[Cost], sold: list[Sale]
    ) -> list[Day]:
        spend = {c.day: c.spend for c in its}
        return [
            Day(
                spend[day],
                sum(s.kept for s in sold if s.day == day),
                sum(s.day == day for s in sold),
            )
            for day in window
            if spend.get(day) and day in known.get(key[0], ())
        ]

    def key_of(c: Cost) -> tuple[str, str, str]:
        return (c.channel, c.campaign_id, "" if c.campaign_id else c.name.casefold())

    items: list[dict[str, Any]] = []
    keys = {key_of(c) for c in costs}
    for key in sorted({*keys, *(s.campaign for s in sales if s.campaign[1:] != ("", ""))}):
        its = sorted((c for c in costs if key_of(c) == key), key=lambda c: c.day)
        sold = [s for s in sales if s.campaign == key]
        past = [c for c in all_costs if key_of(c) == key]
        currencies = {c.currency for c in its}
        items.append(
            {
                "key": key, "costs": its, "sales": sold, "currencies": currencies,
                "days": days_of(mature, key, its, sold) if currencies == {own} else [],
                "older": days_of(older, key, past, [s for s in all_sales if s.campaign == key]),
                "domestic": currencies == {own},
                "spend": sum(c.spend for c in its if c.day in recent),
                "revenue": sum(s.kept for s in sold if s.day in recent),
                "orders": sum(s.day in recent for s in sold),
                **dict.fromkeys(("recommended", "target", "binding", "current", "cap")),
            }
        )  # fmt: skip
    domestic = [item for item in items if item["domestic"]]
    pooled = [d for item in domestic for d in item["days"]]
    gained = sum(
        d.spend for d in pooled if merchant.margin and merchant.margin * d.revenue > d.spend
    )
    rate = gained / sum(d.spend for d in pooled) if pooled and merchant.margin else 0.5
    withheld = unassigned_of(items, sales, {c: d & set(mature) for c, d in known.items()})
    for item in items:
        days, past_days = item["days"], item["older"]
        item["kelly"] = kelly_of(days, past_days, merchant, rate, order_value)
    for item in domestic:
        channel = item["key"][0]
        reported = {c.day for c in all_costs if c.channel == channel}
        item["current"] = current_of(item["costs"], reported, today, merchant.immature)
        item["withheld"] = withheld[channel]
        if merchant.margin is not None:
            item["cap"] = saturation_of(item["days"], merchant.margin, merchant.cut)
    if merchant.bankroll is not None and merchant.margin is not None:
        able = [i for i in domestic if i["current"] is not None and not i["withheld"]]
        elsewhere = sum(i["current"] or 0 for i in domestic if i["withheld"])
        budgets(able, merchant, elsewhere)

    everything = [s for s in sales if s.day in recent]
    spend = sum(item["spend"] for item in domestic)
    foreign = any(item["currencies"] - {own} for item in items)
    attributed = sum(item["revenue"] for item in items)
    summed = []
    for day in mature:
        here = [i for i in domestic if day in known[i["key"][0]]]
        if any(c.spend for i in here for c in i["costs"] if c.day == day):
            sold = [s for i in here for s in i["sales"] if s.day == day]
            paid = sum(c.spend for i in here for c in i["costs"] if c.day == day)
            summed.append(Day(paid, sum(s.kept for s in sold), len(sold)))
    current = [i["current"] for i in items if i["current"] is not None]
    advised = [i for i in items if i["recommended"] is not None]
    covered = set().union(*known.values()) & set(recent) if known else set()
    paid = sum(c.spend for i in domestic for c in i["costs"] if c.day in covered)
    comparable = bool(paid) and not foreign

    def bucket(channel: str) -> dict[str, Any]:
        found = [s for s in everything if s.campaign == (channel, "", "")]
        return {
            "orders": len(found),
            "revenue": money(sum(s.kept for s in found)),
            "share": len(found) / len(everything) if everything else None,
        }

    others = sorted(
        {s.campaign[0] for s in sales if s.campaign[1:] == ("", "")}
        - {"(none)", "(direct)", "meta"}
    )
    named = [s for s in everything if s.campaign[1:] != ("", "")]
    return {
        "days": len(recent),
        "margin": merchant.margin,
        "bankroll_per_day": money(merchant.bankroll),
        "left_out": len(left_out),
        "total": {
            "spend": money(spend),
            "revenue": money(sum(s.kept for s in everything)),
            "orders": len(everything),
            "roas": sum(s.kept for s in everything if s.day in covered) / paid
            if comparable
            else None,
            "attributed": {
                "orders": sum(item["orders"] for item in items),
                "revenue": money(attributed),
                "roas": sum(s.kept for s in named if s.day in covered) / paid
                if comparable
                else None,
            },
            **_shown(kelly_of(summed, [], merchant, rate, order_value)),
            "current_budget": money(sum(current)) if current else None,
            "recommended_budget": money(sum(i["recommended"] for i in advised))
            if advised
            else None,
            "target_budget": money(sum(i["target"] for i in advised)) if advised else None,
        },
        "campaigns": {
            item["key"]: _campaign(item, merchant, known.get(item["key"][0], set()) & set(recent))
            for item in items
        },
        "unattributed": bucket("(none)"),
        "direct": bucket("(direct)"),
        "meta_unassigned": bucket("meta"),
        "unassigned": [{"channel": channel, **bucket(channel)} for channel in others],
    }


def _shown(k: dict[str, Any]) -> dict[str, Any]:
    return {
        "daily_return": {
            "mean": k["mean"],
            "sd": k["sd"],
            "shrunk_mean": k["mu"],
            "p_positive": k["p_positive"],
        },
        "kelly": {
            "binary": {"p": k["p"], "b": k["b"], "fraction": k["binary"]},
            "continuous": k["continuous"],
            "multiplier": k["multiplier"],
            "fraction": k["fraction"],
        },
    }


def _campaign(item: dict[str, Any], merchant: Merchant, known: set[int]) -> dict[str, Any]:
    currency = next(iter(item["currencies"])) if len(item["currencies"]) == 1 else merchant.currency
    comparable, shown = not item["currencies"] or item["domestic"], _shown(item["kelly"])
    target = item["target"]
    shared = target / merchant.bankroll if target is not None and merchant.bankroll else None
    shown["kelly"]["shared_fraction"] = shared
    compared_spend = sum(c.spend for c in item["costs"] if c.day in known)
    compared_revenue = sum(s.kept for s in item["sales"] if s.day in known)
    claims = [c.platform_revenue for c in item["costs"] if c.platform_revenue is not None]
    return {
        "campaign_id": item["key"][1] or None,
        "name": item["costs"][-1].name if item["costs"] else item["key"][2],
        "channel": item["key"][0] or None,
        "days": len(item["days"]),
        "spend": None if len(item["currencies"]) > 1 else amount(item["spend"], currency),
        "revenue": amount(item["revenue"], merchant.currency),
        "orders": item["orders"],
        "roas": compared_revenue / compared_spend if comparable and compared_spend else None,
        **shown,
        "saturation": amount(item["cap"] and item["cap"][0], merchant.currency),
        "current_budget": amount(item["current"], merchant.currency),
        "recommended_budget": amount(item["recommended"], merchant.currency),
        "target_budget": amount(item["target"], merchant.currency),
        "binding_constraint": item["binding"],
        "claimed": bool(claims),
    }
