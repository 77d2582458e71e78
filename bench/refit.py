"""Refit of BG/NBD and Gamma-Gamma at 1,000,000 customers, from weekly cells.

Bar: 100 ms for both (docs/architecture.md, "Numbers to hold"). Compared, in the same run, with the
same code on one entry per customer (nothing grouped) and with a warm start from yesterday's fit.
Run: python -m bench.refit [customers]
"""

import os
import platform
import sys
from collections.abc import Callable
from statistics import median
from time import perf_counter

import numpy as np

from aggregates.arrays import Floats, Ints
from aggregates.rfm.value.btyd import BgNbd, History, fit_bg_nbd, history_from_weeks
from aggregates.rfm.value.gamma_gamma import GammaGamma, fit_gamma_gamma, money_cells
from aggregates.rfm.value.lifetime_value import lifetime_value

WEEKS = 104
TRUE = BgNbd(r=0.25, alpha=4.5, a=0.8, b=2.4, log_likelihood=0.0)
SPEND = GammaGamma(p=6.25, q=3.74, v=15.44, log_likelihood=0.0, correlation=0.0)


def simulate(customers: int, seed: int = 20261122) -> tuple[Ints, Ints, Ints, Floats]:
    """(x, first_day, last_day, mean repeat spend in major units) of customers who joined evenly over two years."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, WEEKS * 7, customers)
    rate = rng.gamma(TRUE.r, 1 / TRUE.alpha, customers) / 7  # per day
    leaves_after = rng.geometric(np.clip(rng.beta(TRUE.a, TRUE.b, customers), 1e-9, 1))
    x, last = np.zeros(customers, dtype=np.int64), first.astype(np.float64)
    active = np.arange(customers)
    while len(active):
        moment = last[active] + rng.exponential(1.0, len(active)) / np.maximum(rate[active], 1e-12)
        ordered = (moment < WEEKS * 7) & (x[active] < leaves_after[active])
        active = active[ordered]
        x[active] += 1
        last[active] = moment[ordered]
    scale = rng.gamma(SPEND.q, 1 / SPEND.v, customers)
    mean_spend = np.where(
        x > 0, rng.gamma(SPEND.p * np.maximum(x, 1)) / (scale * np.maximum(x, 1)), 0.0
    )
    return x, first, last.astype(np.int64), mean_spend


def weekly_cells(
    x: Ints, first_day: Ints, last_day: Ints, spend: Floats
) -> tuple[Ints, Ints, Ints, Ints, Floats]:
    """(x, first week, last week) with customers and repeat spend, as the fold keeps them."""
    key = (x * 200 + first_day // 7) * 200 + last_day // 7
    keys, of = np.unique(key, return_inverse=True)
    n = np.bincount(of).astype(np.int64)
    repeat_spend: Floats = np.bincount(of, spend).astype(np.float64)
    return keys // 40_000, keys // 200 % 200, keys % 200, n, repeat_spend


def milliseconds(work: Callable[[], object], times: int) -> float:
    """Median over `times` runs."""
    taken = []
    for _ in range(times):
        began = perf_counter()
        work()
        taken.append(perf_counter() - began)
    return 1000 * median(taken)


def main() -> None:
    customers = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    x, first, last, z = simulate(customers)
    asof = WEEKS * 7 - 1
    cell_x, first_week, last_week, n, repeat_spend = weekly_cells(x, first, last, x * z)
    spend_x, spend_z, spend_n = money_cells(x, z)
    print(
        f"refit: {customers:,} simulated customers over {WEEKS} weeks, seed fixed; {os.cpu_count()} cores, {platform.machine()}"
    )
    print(
        f"  cells: {len(cell_x):,} of (x, first week, last week), {len(spend_x):,} of (x, money bin)"
    )

    def cold() -> object:
        return fit_bg_nbd(history_from_weeks(cell_x, first_week, last_week, n, asof))

    cells = history_from_weeks(cell_x, first_week, last_week, n, asof)
    purchase, spend = fit_bg_nbd(cells), fit_gamma_gamma(spend_x, spend_z, spend_n)
    assert isinstance(purchase, BgNbd)
    assert isinstance(spend, GammaGamma)
    yesterday = BgNbd(
        purchase.r * 1.01, purchase.alpha * 0.99, purchase.a * 1.02, purchase.b * 0.98, 0.0
    )
    bg, gg = (
        milliseconds(cold, 15),
        milliseconds(lambda: fit_gamma_gamma(spend_x, spend_z, spend_n), 15),
    )
    warm = milliseconds(lambda: fit_bg_nbd(cells, start=yesterday), 15)
    value = milliseconds(
        lambda: lifetime_value(purchase, spend, cells, repeat_spend, horizon_days=365), 15
    )
    print(
        f"  BG/NBD cold {bg:.1f} ms, warm {warm:.1f} ms; Gamma-Gamma {gg:.1f} ms; together {bg + gg:.1f} ms (bar: 100 ms)"
    )
    print(f"  LTV of everyone over 365 days: {value:.1f} ms")
    ones = np.ones(customers, dtype=np.int64)
    each = History(x, (last - first) / 7, (asof + 1 - first) / 7, ones)
    alone = milliseconds(lambda: fit_bg_nbd(each), 1)
    print(
        f"  one entry per customer instead of cells: BG/NBD {alone:.0f} ms, {alone / bg:.0f} times as long"
    )
    print(f"  fitted {purchase}\n  truth  {TRUE}\n  fitted {spend}\n  truth  {SPEND}")


if __name__ == "__main__":
    main()
