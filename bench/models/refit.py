"""Refit of BG/NBD and Gamma-Gamma at 1,000,000 customers, from cells as a large shop has them.

Bar: 100 ms for both (docs/architecture.md, "Numbers to hold"). Compared, in the same run, with one
entry per customer (nothing grouped).
Run: python -m bench.models.refit [customers]
"""

import os
import platform
import sys
from collections.abc import Callable
from statistics import median
from time import perf_counter

import numpy as np

from aggregates.arrays import Floats, Ints
from aggregates.rfm.fold.day_bins import purchase_days
from aggregates.rfm.value.btyd import BgNbd, fit_bg_nbd
from aggregates.rfm.value.gamma_gamma import GammaGamma, fit_gamma_gamma
from aggregates.rfm.value.history import History, history_from_cells, history_from_days
from aggregates.rfm.value.lifetime_value import lifetime_value
from aggregates.rfm.value.spend_model import model_spend

WEEKS = 104
DAYS = 100_000  # since 1970-01-01, as base of a key
TRUE = BgNbd(r=0.25, alpha=4.5, a=0.8, b=2.4, log_likelihood=0.0)
SPEND = GammaGamma(p=6.25, q=3.74, v=15.44, log_likelihood=0.0, correlation=0.0)


def simulate(
    customers: int, seed: int = 20261122, true: BgNbd = TRUE
) -> tuple[Ints, Ints, Ints, Floats]:
    """(x, first day, last day, mean repeat spend in major units) of customers who join evenly.

    Over two years; orders of one day are one purchase, as the fold counts them.
    """
    rng = np.random.default_rng(seed)
    first = rng.integers(0, WEEKS * 7, customers)
    rate = rng.gamma(true.r, 1 / true.alpha, customers) / 7  # per day
    leaves_after = rng.geometric(np.clip(rng.beta(true.a, true.b, customers), 1e-9, 1))
    x, last = np.zeros(customers, dtype=np.int64), first.astype(np.float64)
    active, made = np.arange(customers), np.zeros(customers, dtype=np.int64)
    while len(active):
        moment = last[active] + rng.exponential(1.0, len(active)) / np.maximum(rate[active], 1e-12)
        ordered = (moment < WEEKS * 7) & (made[active] < leaves_after[active])
        active, moment = active[ordered], moment[ordered]
        made[active] += 1
        x[active] += np.floor(moment) > np.floor(last[active])
        last[active] = moment
    scale = rng.gamma(SPEND.q, 1 / SPEND.v, customers)
    spent = rng.gamma(SPEND.p * np.maximum(x, 1)) / (scale * np.maximum(x, 1))
    return x, first, last.astype(np.int64), np.where(x > 0, spent, 0.0)


def purchase_cells(
    x: Ints, first_day: Ints, last_day: Ints, spend: Floats, asof_day: int
) -> tuple[History, Floats]:
    """The customers in cells as the fold keeps them in a large shop, and each cell's spend."""
    days = np.array(
        [
            purchase_days(first, last, exact=False)
            for first, last in zip(first_day.tolist(), last_day.tolist(), strict=True)
        ]
    ).T
    key = (x * DAYS + days[0]) * DAYS + days[1]
    keys, of = np.unique(key, return_inverse=True)
    n, first_offset, last_offset = (
        np.rint(np.bincount(of, each)).astype(np.int64) for each in (np.ones(len(x)), *days[2:])
    )
    cells = history_from_cells(
        keys // DAYS**2,
        keys // DAYS % DAYS,
        keys % DAYS,
        n,
        first_offset,
        last_offset,
        asof_day,
    )
    repeat_spend: Floats = np.bincount(of, spend).astype(np.float64)
    return cells, repeat_spend


def money_cells(x: Ints, z: Floats, ratio: float = 1.02) -> tuple[Ints, Floats, Ints]:
    """Cells (x, mean z of the bin, n) of customers, bins of z growing by `ratio`; no z <= 0."""
    kept = (x > 0) & (z > 0)
    x, z = x[kept], z[kept]
    bins = np.floor(np.log(z) / np.log(ratio)).astype(np.int64)
    bins -= bins.min(initial=0) if not len(bins) else bins.min()
    width = int(bins.max(initial=0)) + 1
    keys, of = np.unique(x * width + bins, return_inverse=True)
    n = np.bincount(of).astype(np.int64)
    return keys // width, np.bincount(of, z) / n, n


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
    cells, repeat_spend = purchase_cells(x, first, last, x * z, asof)
    spend_x, spend_z, spend_n = money_cells(x, z)
    print(
        f"refit: {customers:,} simulated customers over {WEEKS} weeks, seed fixed;"
        f" {os.cpu_count()} cores, {platform.machine()}"
    )
    print(
        f"  cells: {len(cells.x):,} of (x, first days, last days),"
        f" {len(spend_x):,} of (x, money bin)"
    )
    purchase, spend = fit_bg_nbd(cells), fit_gamma_gamma(spend_x, spend_z, spend_n)
    assert isinstance(purchase, BgNbd)
    assert isinstance(spend, GammaGamma)
    per_order = model_spend(spend)
    bg = milliseconds(lambda: fit_bg_nbd(cells), 15)
    gg = milliseconds(lambda: fit_gamma_gamma(spend_x, spend_z, spend_n), 15)
    value = milliseconds(
        lambda: lifetime_value(purchase, per_order, cells, repeat_spend, horizon_days=365), 15
    )
    print(f"  BG/NBD {bg:.1f} ms, Gamma-Gamma {gg:.1f} ms; together {bg + gg:.1f} ms (bar: 100 ms)")
    print(f"  LTV of everyone over 365 days: {value:.1f} ms")
    each = history_from_days(x, first, last, np.ones(customers, dtype=np.int64), asof)
    began = perf_counter()
    alone = fit_bg_nbd(each)
    took = 1000 * (perf_counter() - began)
    assert isinstance(alone, BgNbd)
    print(
        f"  one entry per customer instead of cells: BG/NBD {took:.0f} ms,"
        f" {took / bg:.0f} times as long"
    )
    print(f"  fitted {purchase}\n  singly {alone}\n  truth  {TRUE}")
    print(f"  fitted {spend}\n  truth  {SPEND}")


if __name__ == "__main__":
    main()
