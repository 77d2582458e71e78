"""Brute force for /v1/budget: every number of the answer from plain lists of sales and costs, by
the definitions of docs/facts/analytics.md.

Independent of `query` and `processors` on purpose: no cells, no joins (each sale knows its true
campaign), another route to every formula (polyfit and root finding for saturation, bisection for
the joint optimum). Slow and obvious is the aim. Money is integer minor units, days are whole days
since 1970-01-01.
"""

from dataclasses import dataclass
from decimal import Decimal
from math import ceil, exp, floor, sqrt
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize, stats

DIGITS = {"USD": 2, "EUR": 2, "JPY": 0}


class Sale(NamedTuple):
    """An order as it finally stands. `campaign` is (channel, id, name) of a cost, of a link without costs, or (channel, "", "")."""

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


def kelly_of(days: list[Day], merchant: Merchant, account_rate: float) -> dict[str, Any]:
    """Return statistics and Kelly fractions of campaign-days."""
    margin, weight = merchant.margin, 1 / merchant.prior_sd**2
    x = (
        np.array([margin * d.revenue / d.spend - 1 for d in days if d.spend > 0])
        if margin is not None
        else np.array([])
    )
    n = len(x)
    told: dict[str, Any] = dict.fromkeys(
        (
            "mean",
            "sd",
            "mu",
            "v",
            "p_positive",
            "p",
            "b",
            "binary",
            "continuous",
            "multiplier",
            "fraction",
        )
    )
    told["n"] = n
    if n == 0:
        return told
    told["mean"] = x.mean()
    wins, losses = x[x > 0], x[x < 0]
    told["p"] = (len(wins) + merchant.prior_days * account_rate) / (n + merchant.prior_days)
    if len(losses) and len(wins):
        told["b"] = wins.mean() / -losses.mean()
        told["binary"] = min(max(told["p"] - (1 - told["p"]) / told["b"], 0), 1)
    told["multiplier"] = None if n < 7 else merchant.kelly / 2 if n < 30 else merchant.kelly
    if n >= 2:
        s2 = x.var(ddof=1)
        posterior = stats.norm(
            loc=(n * x.mean() / max(s2, 1e-4)) / (n / max(s2, 1e-4) + weight),
            scale=1 / sqrt(n / max(s2, 1e-4) + weight),
        )
        told |= {
            "sd": sqrt(s2),
            "mu": posterior.mean(),
            "v": max(s2 + posterior.var(), 1e-4),
            "p_positive": posterior.sf(0),
        }
        told["continuous"] = max(told["mu"] / told["v"], 0)
        if told["multiplier"]:
            told["fraction"] = min(told["multiplier"] * told["continuous"], 1)
    return told


def saturation_of(days: list[Day], margin: float) -> float | None:
    """Where the marginal return of R = c s^beta is one, if the days can tell."""
    spent = [d for d in days if d.spend > 0]
    good = [d for d in spent if d.revenue > 0]
    if len(spent) - len(good) > 0.2 * len(spent) or len(good) < 14:
        return None
    s, r = np.log([d.spend for d in good]), np.log([d.revenue for d in good])
    if s.std() < 0.15:
        return None
    (beta, intercept), cov = np.polyfit(s, r, 1, cov=True)
    if not 0 < beta < 1 or sqrt(cov[0, 0]) > 0.2:
        return None
    residual = r - intercept - beta * s
    c = exp(intercept + (residual @ residual) / (len(good) - 2) / 2)
    far = 10 * max(d.spend for d in spent)

    def marginal(x: float) -> float:
        return float(margin * c * beta * x ** (beta - 1) - 1)

    if marginal(far) > 0:
        return None
    return 0.0 if marginal(1e-9) < 0 else float(optimize.brentq(marginal, 1e-9, far, xtol=1e-9))


def together(edges: list[float], variances: list[float]) -> list[float]:
    """max f'm - f'Vf/2, f >= 0, sum f <= 1 with diagonal V, by bisection of the price."""
    low, high = 0.0, max(edges)
    for _ in range(200):
        price = (low + high) / 2
        total = sum(max(m - price, 0) / v for m, v in zip(edges, variances, strict=True))
        low, high = (price, high) if total > 1 else (low, price)
    return [max(m - high, 0) / v for m, v in zip(edges, variances, strict=True)]


def current_of(costs: list[Cost], newest: int, today: int, immature: int) -> int | None:
    by_day = {cost.day: cost.spend for cost in costs}
    started = [day for day, spent in by_day.items() if spent > 0]
    last = min(newest, today - 1)
    last = max(last, today - 1 - immature)
    days = [day for day in range(last - 6, last + 1) if started and day >= min(started)]
    return round(sum(by_day.get(day, 0) for day in days) / len(days)) if days else None


def budgets(items: list[dict[str, Any]], merchant: Merchant) -> None:
    """Fill `recommended` and `binding` into items that have kelly, cap and current."""
    assert merchant.bankroll is not None
    bankroll, step, seed = (
        merchant.bankroll,
        merchant.step,
        merchant.seed if merchant.seed is not None else merchant.bankroll // 100,
    )
    fractions = [item["kelly"]["fraction"] for item in items]
    if sum(f or 0 for f in fractions) > 1:
        bets = [i for i, f in enumerate(fractions) if f]
        joint = together(
            [items[i]["kelly"]["multiplier"] * items[i]["kelly"]["mu"] for i in bets],
            [items[i]["kelly"]["v"] for i in bets],
        )
        for i, f in zip(bets, joint, strict=True):
            fractions[i] = f
    for item, f in zip(items, fractions, strict=True):
        item["shared"], own, current = f, item["kelly"]["fraction"], item["current"]
        low, high = (1 - step) * current, (1 + step) * current
        if f is None:
            item["wanted"], item["binding"] = float(current), "too_few_days"
            continue
        target, why = f * bankroll, "bankroll" if f < own or f >= 1 else "kelly"
        if item["cap"] is not None and item["cap"] < target:
            target, why = item["cap"], "saturation"
        if own <= 0:
            target, why = 0.0, "zero_edge"
        if current == 0:
            high = low = 0.0
            item["wanted"], item["binding"] = min(target, seed), "step_up" if target > seed else why
        elif target > high:
            item["wanted"], item["binding"] = high, "step_up"
        elif target < low:
            item["wanted"] = low
            item["binding"] = why if own <= 0 or (why == "bankroll" and f == 0) else "step_down"
        else:
            item["wanted"], item["binding"] = target, why
    total = sum(item["wanted"] for item in items)
    if total > bankroll:
        floors = [min(item["wanted"], (1 - step) * item["current"]) for item in items]
        for item, low in zip(items, floors, strict=True):
            share = low * bankroll / sum(floors) if sum(floors) >= bankroll else None
            lowered = (
                share
                if share is not None
                else low + (item["wanted"] - low) * (bankroll - sum(floors)) / (total - sum(floors))
            )
            if lowered < item["wanted"]:
                item["wanted"], item["binding"] = lowered, "bankroll"
    for item in items:
        low = ceil(round((1 - step) * item["current"], 6))
        item["recommended"] = max(
            floor(round(item["wanted"], 6)), min(low, floor(round((1 + step) * item["current"], 6)))
        )
    if sum(item["recommended"] for item in items) > bankroll:
        for item in items:
            item["recommended"] = floor(item["wanted"])


def budget(sales: list[Sale], costs: list[Cost], today: int, merchant: Merchant) -> dict[str, Any]:
    """The numbers of the answer."""
    own = merchant.currency

    def money(units: float | None) -> dict[str, str] | None:
        return amount(units, own)

    recent = range(today - (merchant.shown or merchant.days) + 1, today + 1)
    mature = range(today - merchant.immature - merchant.days + 1, today - merchant.immature + 1)
    read = range(min(recent.start, mature.start), today + 1)
    costs, sales = [c for c in costs if c.day in read], [s for s in sales if s.day in read]
    left_out = [s for s in sales if s.currency != own and s.day in recent]
    sales = [s for s in sales if s.currency == own]

    keys = {(c.channel, c.campaign_id, "" if c.campaign_id else c.name.casefold()) for c in costs}
    items: list[dict[str, Any]] = []
    for key in sorted({*keys, *(s.campaign for s in sales if s.campaign[1:] != ("", ""))}):
        its = sorted(
            (
                c
                for c in costs
                if (c.channel, c.campaign_id, "" if c.campaign_id else c.name.casefold()) == key
            ),
            key=lambda c: c.day,
        )
        sold = [s for s in sales if s.campaign == key]
        spend = {c.day: c.spend for c in its}
        days = [Day(spend.get(day, 0), sum(s.kept for s in sold if s.day == day)) for day in mature]
        currencies = {c.currency for c in its}
        items.append(
            {
                "key": key, "costs": its, "sales": sold, "days": days, "currencies": currencies, "domestic": currencies == {own},
                "spend": sum(c.spend for c in its if c.day in recent), "revenue": sum(s.kept for s in sold if s.day in recent),
                "orders": sum(s.day in recent for s in sold),
                **dict.fromkeys(("recommended", "binding", "current", "cap", "shared")),
            }
        )  # fmt: skip
    domestic = [item for item in items if item["domestic"]]
    pooled = (
        [
            merchant.margin * d.revenue / d.spend - 1
            for item in domestic
            for d in item["days"]
            if d.spend
        ]
        if merchant.margin
        else []
    )
    rate = sum(x > 0 for x in pooled) / len(pooled) if pooled else 0.5
    for item in items:
        item["kelly"] = kelly_of(item["days"] if item["domestic"] else [], merchant, rate)
    for item in domestic:
        item["current"] = current_of(
            item["costs"],
            max(c.day for c in costs if c.channel == item["key"][0]),
            today,
            merchant.immature,
        )
        item["cap"] = (
            saturation_of(item["days"], merchant.margin) if merchant.margin is not None else None
        )
    if merchant.bankroll is not None and merchant.margin is not None:
        budgets([item for item in domestic if item["current"] is not None], merchant)

    everything = [s for s in sales if s.day in recent]
    spend = sum(item["spend"] for item in domestic)
    foreign = any(item["currencies"] - {own} for item in items)
    attributed = sum(item["revenue"] for item in items)
    summed = [
        Day(
            sum(item["days"][i].spend for item in domestic),
            sum(item["days"][i].revenue for item in domestic),
        )
        for i in range(len(mature))
    ]
    known, advised = (
        [i["current"] for i in items if i["current"] is not None],
        [i["recommended"] for i in items if i["recommended"] is not None],
    )

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
    return {
        "days": len(recent),
        "margin": merchant.margin,
        "bankroll_per_day": money(merchant.bankroll),
        "left_out": len(left_out),
        "total": {
            "spend": money(spend),
            "revenue": money(sum(s.kept for s in everything)),
            "orders": len(everything),
            "roas": sum(s.kept for s in everything) / spend if spend and not foreign else None,
            "attributed": {
                "orders": sum(item["orders"] for item in items),
                "revenue": money(attributed),
                "roas": attributed / spend if spend and not foreign else None,
            },
            **_shown(kelly_of(summed, merchant, rate)),
            "current_budget": money(sum(known)) if known else None,
            "recommended_budget": money(sum(advised)) if advised else None,
        },
        "campaigns": {item["key"]: _campaign(item, merchant) for item in items},
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


def _campaign(item: dict[str, Any], merchant: Merchant) -> dict[str, Any]:
    currency = next(iter(item["currencies"])) if len(item["currencies"]) == 1 else merchant.currency
    comparable, shown = not item["currencies"] or item["domestic"], _shown(item["kelly"])
    shown["kelly"]["shared_fraction"] = item["shared"]
    claims = [c.platform_revenue for c in item["costs"] if c.platform_revenue is not None]
    return {
        "campaign_id": item["key"][1] or None,
        "name": item["costs"][-1].name if item["costs"] else item["key"][2],
        "channel": item["key"][0] or None,
        "days": sum(d.spend > 0 for d in item["days"]),
        "spend": None if len(item["currencies"]) > 1 else amount(item["spend"], currency),
        "revenue": amount(item["revenue"], merchant.currency),
        "orders": item["orders"],
        "roas": item["revenue"] / item["spend"] if comparable and item["spend"] else None,
        **shown,
        "saturation": amount(item["cap"], merchant.currency),
        "current_budget": amount(item["current"], merchant.currency),
        "recommended_budget": amount(item["recommended"], merchant.currency),
        "binding_constraint": item["binding"],
        "claimed": bool(claims),
    }
