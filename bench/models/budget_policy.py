"""Follows the advice of `/v1/budget` every day for 120 days, against a policy that knows the true
ROI.

    make bench ARGS=budget_policy                        # 5 shops per row, 2 to 4 minutes
    .venv/bin/python -m bench.models.budget_policy --seeds 100 --seconds 7200  # as documented
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Final

import numpy as np

from aggregates.budget.answer.assessment import assess
from aggregates.budget.answer.campaigns import AdAccount, CampaignDays
from aggregates.budget.answer.coverage import Coverage
from aggregates.budget.answer.terms import Terms
from aggregates.budget.answer.window import Window

DAYS: Final = 120
START: Final = 20_000
"""The first day, days since 1970-01-01."""
BUDGET: Final = 10_000
"""Each campaign's budget on the first day, minor units."""
MARGIN: Final = 0.5
SPREAD: Final = 0.6
"""Standard deviation of an order's value, by its mean."""
HORIZON_DAYS: Final = 30
CUT_DAY: Final = 30
CUT_TO: Final = 0.25
"""A campaign at a quarter of its first budget counts as cut."""
WITHIN: Final = 0.7
"""Growth within 30 % of the best fixed policy."""
SECONDS: Final = 900
"""Rows that would begin later are left out, and that is said."""

RETURNS: Final = (-0.3, 0.0, 0.2, 0.5, 2.0)
ORDERS: Final = (1, 5, 50)
CAMPAIGNS: Final = (1, 3, 10)
MIXED: Final = ((0.2, 0.5), (-0.3, 0.0, 0.2), RETURNS, (-0.3,) * 5 + (0.2,) * 5, RETURNS * 2)


@dataclass(frozen=True)
class World:
    """A shop's campaigns: each one's true ROI, and orders a day at its first budget."""

    returns: tuple[float, ...]
    orders: float


@dataclass(frozen=True)
class Outcome:
    """What became of one shop; money in units of its bankroll per day."""

    growth: float
    """ROI of all that was spent: what the policy earned, the luck of single orders aside."""
    lowest: float
    """The lowest wealth of any day, by the bankroll of the horizon; 0 is ruin."""
    left: tuple[float, ...]
    """Each campaign's budget on day 30, by its first."""


def best(world: World, days: int = DAYS) -> float:
    """Growth of the best fixed policy that knows the truth: the whole bankroll on the best one."""
    return max(max(world.returns), 0.0) * days


def follow(world: World, seed: int, days: int = DAYS) -> Outcome:
    """One shop through all days, its budgets set each morning as advised."""
    rng = np.random.default_rng(seed)
    truth, shape = np.array(world.returns), 1 / SPREAD**2
    campaigns = [CampaignDays("meta", str(n), f"C{n}", "USD") for n in range(len(truth))]
    budgets, bankroll = [BUDGET] * len(campaigns), BUDGET * len(campaigns)
    value = (1 + truth) * BUDGET / (world.orders * MARGIN)
    wealth = lowest = float(HORIZON_DAYS * bankroll)
    growth = 0.0
    left: tuple[float, ...] = ()
    for day in range(START, START + days):
        if day > START:
            budgets = advised(campaigns, budgets, bankroll, day)
        if day == START + CUT_DAY:
            left = tuple(budget / BUDGET for budget in budgets)
        spend = np.array(budgets)
        counts = rng.poisson(spend / BUDGET * world.orders)
        baskets = rng.gamma(np.maximum(counts, 1) * shape, 1 / shape) * (counts > 0)
        revenue = np.round(baskets * value)
        for each, spent, count, earned in zip(campaigns, budgets, counts, revenue, strict=True):
            each.spend[day], each.orders[day], each.revenue[day] = spent, int(count), int(earned)
        growth += float(spend @ truth) / bankroll
        wealth += float((MARGIN * revenue - spend).sum())
        lowest = min(lowest, wealth)
    return Outcome(growth, lowest / (HORIZON_DAYS * bankroll), left)


def advised(
    campaigns: Sequence[CampaignDays], budgets: Sequence[int], bankroll: int, today: int
) -> list[int]:
    """The budgets that `/v1/budget` recommends on the morning of `today`."""
    orders = sum(sum(each.orders.values()) for each in campaigns)
    revenue = sum(sum(each.revenue.values()) for each in campaigns)
    terms = Terms(
        currency="USD",
        bankroll=bankroll,
        margin=MARGIN,
        seed=bankroll // 100,
        max_change=0.3,
        immature_days=3,
        recent=Window(today - 29, today),
        mature=Window(today - 32, today - 3),
        coverage=Coverage({"meta": frozenset(range(START, today))}, Window(START, today)),
        order_value=revenue / orders if orders else 0.0,
    )
    account = AdAccount(list(campaigns), {}, Counter())
    assessed = assess(account, terms, campaigns)
    return [
        each.advice.recommended if each.advice else budget
        for each, budget in zip(assessed.campaigns, budgets, strict=True)
    ]


def row(world: World, outcomes: Sequence[Outcome]) -> str:
    """One line of the table."""
    known = best(world)
    growth = float(np.mean([each.growth for each in outcomes]))
    losing = [i for i, roi in enumerate(world.returns) if roi < 0]
    left = [each.left[i] for each in outcomes for i in losing]
    cells = [
        named(world),
        f"{world.orders:g}",
        str(len(world.returns)),
        f"{growth / known:.0%}" if known else f"{growth:+.1f}",
        f"{min(each.lowest for each in outcomes):.0%}",
        f"{np.mean(left):.0%}" if losing else "",
        f"{np.mean(np.array(left) <= CUT_TO):.0%}" if losing else "",
    ]
    return "| " + " | ".join(cells) + " |"


def named(world: World) -> str:
    """The ROIs of a world."""
    counts = Counter(world.returns)
    if len(counts) == 1:
        return f"{100 * world.returns[0]:+.0f} %"
    parts = [f"{n} x {100 * r:+.0f}" if n > 1 else f"{100 * r:+.0f}" for r, n in counts.items()]
    return ", ".join(parts) + " %"


HEADER: Final = """\
| true ROI | orders a day | campaigns | growth | lowest wealth | losers' budget | losers cut |
|---|---|---|---|---|---|---|"""


def worlds() -> Iterator[World]:
    """Every row of the table."""
    for roi in RETURNS:
        for orders in ORDERS:
            yield from (World((roi,) * campaigns, orders) for campaigns in CAMPAIGNS)
    for mix in MIXED:
        yield from (World(mix, orders) for orders in ORDERS)


def main(arguments: Sequence[str]) -> int:
    """Print the table, and which bars are missed in it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="shops per row")
    parser.add_argument("--rows", default=":", help="only these, as 0:15 or 45:")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="begin no row later")
    options = parser.parse_args(arguments)
    print(f"{options.seeds} shops per row, {DAYS} days. growth: of the best fixed policy that")
    print("knows the ROI (days of bankroll where that earns nothing); lowest wealth: of the worst")
    print(f"shop, by the bankroll of {HORIZON_DAYS} days, 0 % is ruin; losers' budget: mean on day")
    print(f"{CUT_DAY} by the first day's; losers cut: share at {CUT_TO:.0%} or less by then.\n")
    print(HEADER)
    began, ruined, short, late, left_out = monotonic(), 0, list[str](), list[str](), 0
    first, _, last = options.rows.partition(":")
    for world in list(worlds())[int(first or 0) : int(last) if last else None]:
        if monotonic() - began > options.seconds:
            left_out += 1
            continue
        outcomes = [follow(world, seed) for seed in range(options.seeds)]
        print(row(world, outcomes), flush=True)
        ruined += sum(each.lowest <= 0 for each in outcomes)
        name = f"{named(world)} at {world.orders:g}"
        if best(world) and np.mean([each.growth for each in outcomes]) < WITHIN * best(world):
            short.append(name)
        losing = [i for i, roi in enumerate(world.returns) if roi < 0]
        if losing and np.mean([each.left[i] for each in outcomes for i in losing]) > CUT_TO:
            late.append(name)
    print(f"\nruined shops: {ruined}")
    print(f"growth below {WITHIN:.0%}: {'; '.join(short) or 'no row'}")
    print(f"losers above {CUT_TO:.0%} on day {CUT_DAY}: {'; '.join(late) or 'no row'}")
    if left_out:
        print(f"{left_out} rows left out for want of time: --seconds {options.seconds:g}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
