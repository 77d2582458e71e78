"""Brute force for /v1/budget: every number of the answer from plain lists of sales and costs,
without `aggregates`: no cells, no joins, and another route to every formula. Money is integer minor
units, days are whole days since 1970-01-01."""

from typing import Any

from tests.support.oracles.budget_truth import Cost, Day, Merchant, Sale, amount
from tests.support.oracles.oracle_kelly import kelly_of, saturation_of
from tests.support.oracles.oracle_sharing import budgets


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
