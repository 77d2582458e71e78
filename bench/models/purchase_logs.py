"""Customer value of public purchase logs in the cells of a large shop, against exact amounts and
days; what `make bench ARGS=purchase_logs` prints. Always CDNOW; any other log from a file:

    pip install --no-deps --target logs lifetimes
    Rscript -e 'data(apparelTrans, package = "CLVTools"); write.csv(apparelTrans, "apparel.csv")'
    Rscript -e 'data(groceryElog, package = "BTYDplus"); write.csv(groceryElog, "grocery.csv")'
    PYTHONPATH=logs python -m bench.models.purchase_logs apparel.csv grocery.csv     # 10 seconds

Bars: 1 % in total, 5 % for any customer of more than a hundredth of the mean value, and the same
fit from the same cells in another order, as after a restart.
"""

import csv
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from aggregates.arrays import Floats, Ints
from aggregates.rfm.fold.money_bins import bin_edge
from aggregates.rfm.value.btyd import BgNbd, expected_purchases, fit_bg_nbd
from aggregates.rfm.value.history import History, history_from_days
from aggregates.rfm.value.lifetime_value import lifetime_value
from aggregates.rfm.value.spend_model import SpendModel, spend_model
from bench.models.refit import purchase_cells
from tests.support.shopify.golden import CDNOW_MASTER, CDNOW_SAMPLE, EPOCH, cdnow_orders

CUSTOMERS: Final = 50_000
"""Each log is multiplied to so many: from there on a shop has cells."""
YEAR: Final = 365
SHARES: Final = (0.5, 1.0)
"""Of a log's time: a young shop, and all of it."""
TOTAL: Final = 0.01
EACH: Final = 0.05
HARDLY: Final = 0.01
"""Customers worth less than this share of the mean are not compared one by one."""
Purchase = tuple[str, int, int]
"""Customer, day since 1970-01-01, minor units."""


class Customers(NamedTuple):
    """One entry per customer; money in minor units."""

    x: Ints
    first_day: Ints
    last_day: Ints
    repeat_spend: Ints


class Compared(NamedTuple):
    """What the cells cost in accuracy."""

    customers: int
    cells: int
    total: float
    """Relative error of the value of all customers."""
    largest: float
    """Largest relative error of one customer's."""
    restarted: bool
    """Whether the fit is the same from the same cells in another order."""


def customers_of(purchases: Sequence[Purchase], asof_day: int) -> Customers:
    """Purchases of one day are one, as the fold counts them."""
    by_customer: defaultdict[str, defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))
    for customer, day, amount in purchases:
        if day <= asof_day:
            by_customer[customer][day] += amount
    rows = []
    for days in by_customer.values():
        first, *later = sorted(days)
        rows.append((len(later), first, max(days), sum(days[day] for day in later)))
    return Customers(*np.array(rows, dtype=np.int64).T)


def compare(purchases: Sequence[Purchase], share: float) -> Compared:
    """The log's customers, up to a share of its time, in cells and singly."""
    days = [day for _, day, _ in purchases]
    asof = int(min(days) + (max(days) - min(days)) * share)
    own = customers_of(purchases, asof)
    times = -(-CUSTOMERS // len(own.x))
    one = np.full(len(own.x), times, dtype=np.int64)
    exact = history_from_days(own.x, own.first_day, own.last_day, one, asof)
    purchase = _fitted(exact)
    spend = _spend(own.x, own.repeat_spend / np.maximum(own.x, 1) / 100, one)

    many = Customers(*(np.repeat(column, times) for column in own))
    cells, spent = purchase_cells(
        many.x, many.first_day, many.last_day, many.repeat_spend / 100, asof
    )
    shuffled = np.random.default_rng(1).permutation(len(cells.x))
    again = History(cells.x[shuffled], cells.t_x[shuffled], cells.T[shuffled], cells.n[shuffled])
    in_cells, in_bins = _fitted(cells), _spend_in_bins(many)
    restarted = np.allclose(_parameters(_fitted(again)), _parameters(in_cells), rtol=1e-9)

    whole = lifetime_value(
        purchase, spend, exact, own.repeat_spend / 100 * times, horizon_days=YEAR
    ).total
    binned = lifetime_value(in_cells, in_bins, cells, spent, horizon_days=YEAR).total
    singly, by_cell = (
        _worth(own, exact, *models) for models in ((purchase, spend), (in_cells, in_bins))
    )
    shown = singly > HARDLY * singly.mean()
    largest = float(np.abs(by_cell / singly - 1)[shown].max())
    return Compared(len(many.x), len(cells.x), binned / whole - 1, largest, bool(restarted))


def _worth(own: Customers, history: History, purchase: BgNbd, spend: SpendModel) -> Floats:
    expected = expected_purchases(purchase, YEAR / 7, own.x, history.t_x, history.T)
    worth: Floats = expected * spend.per_order(own.x, own.repeat_spend / 100, np.ones_like(own.x))
    return worth


def _fitted(history: History) -> BgNbd:
    found = fit_bg_nbd(history)
    assert isinstance(found, BgNbd), found
    return found


def _parameters(model: BgNbd) -> tuple[float, ...]:
    return model.r, model.alpha, model.a, model.b


def _spend(x: Ints, mean: Floats, n: Ints) -> SpendModel:
    found = spend_model(x, mean, n)
    assert isinstance(found, SpendModel), found
    return found


def _spend_in_bins(many: Customers) -> SpendModel:
    """By bins of repeat revenue that grow by 2 %."""
    kept = many.x > 0
    edges = np.array([bin_edge(int(amount)) for amount in many.repeat_spend[kept]])
    keys, of = np.unique(np.stack([many.x[kept], edges]), axis=1, return_inverse=True)
    n = np.bincount(of.ravel()).astype(np.int64)
    revenue = np.bincount(of.ravel(), many.repeat_spend[kept])
    return _spend(keys[0], revenue / (n * keys[0]) / 100, n)


def logs(files: Sequence[str]) -> Iterator[tuple[str, list[Purchase]]]:
    """Every log at hand, by name."""
    for name, path in (("CDNOW", CDNOW_MASTER), ("CDNOW, sample", CDNOW_SAMPLE)):
        yield name, [(each.customer, each.day, each.cents) for each in cdnow_orders(path)]
    package = find_spec("lifetimes")
    if package is not None and package.submodule_search_locations:
        folder = Path(package.submodule_search_locations[0])
        yield "lifetimes, example", read(folder / "datasets" / "example_transactions.csv")
    for file in files:
        yield Path(file).stem, read(Path(file))


def read(path: Path) -> list[Purchase]:
    """A CSV with columns for the customer, the date (or days since 1970) and, if any, the price."""
    with path.open(newline="") as file:
        rows = [
            {name.lower(): value for name, value in row.items()} for row in csv.DictReader(file)
        ]
    customer = next(name for name in ("id", "cust", "customer") if name in rows[0])
    price = next((name for name in ("price", "sales", "amount") if name in rows[0]), None)
    return [
        (row[customer], _day(row["date"]), round(float(row[price]) * 100) if price else 1_000)
        for row in rows
    ]


def _day(text: str) -> int:
    if "-" in text:
        return (date.fromisoformat(text[:10]) - EPOCH).days
    return int(float(text))


def main(files: Sequence[str]) -> int:
    """Print a line for each log and share of its time; 1 where a bar is missed."""
    missed = 0
    print("| log | of its time | customers | cells | value in total | of any customer | restart |")
    print("|---|---|---|---|---|---|---|")
    for name, purchases in logs(files):
        for share in SHARES:
            found = compare(purchases, share)
            good = abs(found.total) <= TOTAL and found.largest <= EACH and found.restarted
            missed += not good
            print(
                f"| {name} | {share:.0%} | {found.customers:,} | {found.cells:,} |"
                f" {found.total:+.2%} | {found.largest:.2%} |"
                f" {'the same' if found.restarted else 'ANOTHER'} |{'' if good else ' MISSED'}",
                flush=True,
            )
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
