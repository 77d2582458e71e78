"""CDNOW folded on while the shop's clock goes on: published numbers of later days, when orders have
begun to leave the window.

Whatever days `rfm_cdnow.json` has are compared, and the two of docs/facts/analytics.md, "Simple
lifetime value": churn .691, .745, .772 and LTV 105.80, 126.38, 166.25 as of 1997-09-30, 1998-01-31
and 1998-06-30.
"""

import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aggregates.rfm.answer.churn import Churn, LtvSimple, churn, ltv_simple
from aggregates.rfm.answer.scores import Rfm, rfm
from aggregates.rfm.fold.customer import LAST_DAY_CELLS, RFM_CELLS
from stream.store.sql.store import SqlStore
from tests.aggregates.rfm.test_rfm_fold import (
    assert_cells_are_the_sum_of_customers_and_customers_of_orders,
    at,
    fold,
    nonzero,
)
from tests.aggregates.rfm.test_scores import agrees
from tests.support.folding import rfm_orders
from tests.support.golden import CDNOW_MASTER, cdnow_orders, rfm_figures
from tests.support.oracle_rfm import Order, rfm_of
from tests.support.orders import order

EPOCH = date(1970, 1, 1)
PUBLISHED = {
    "1997-09-30": (0.691, 105.80),
    "1998-01-31": (0.745, 126.38),
    "1998-06-30": (0.772, 166.25),
}
BATCH = 2_000


@pytest.fixture
def sqlite_store(tmp_path: Path, migrated_sqlite: Path) -> Iterator[SqlStore]:
    shutil.copy(migrated_sqlite, tmp_path / "state.db")
    opened = SqlStore.open(f"sqlite:///{tmp_path / 'state.db'}")
    yield opened
    opened.close()


def told(store: SqlStore, today: int) -> tuple[Rfm, Churn, LtvSimple]:
    """What `/v1/rfm` is made of."""
    cells, days = nonzero(store, RFM_CELLS), nonzero(store, LAST_DAY_CELLS)
    last_day, orders, monetary, customers, count, revenue = np.array(
        [(*key[1:], *n) for key, n in cells.items()], dtype=np.int64
    ).T
    scored = rfm(last_day, orders, monetary, customers, count, revenue, today)
    last_days, everybody = np.array([(key[2], *n) for key, n in days.items()], dtype=np.int64).T
    lapsed = churn(last_days, everybody, today)
    simple = ltv_simple(scored.customers, scored.orders, scored.revenue, lapsed.rate)
    assert simple is not None
    return scored, lapsed, simple


def assert_meets_the_vector(
    scored: Rfm, lapsed: Churn, simple: LtvSimple, vector: dict[str, Any]
) -> None:
    assert scored.cutoffs is not None
    assert scored.segments is not None
    assert (lapsed.of, scored.customers) == (
        vector["customers_ever"],
        vector["customers_in_window"],
    )
    assert (scored.orders, scored.revenue) == (
        vector["orders_in_window"],
        vector["revenue_cents_in_window"],
    )
    assert {
        "recency_days": list(scored.cutoffs.recency_days),
        "frequency": list(scored.cutoffs.frequency),
        "monetary_cents": list(scored.cutoffs.monetary),
    } == vector["cutoffs"]
    assert [
        list(counts or ()) for counts in (scored.recency, scored.frequency, scored.monetary)
    ] == [vector[name] for name in ("r_counts", "f_counts", "m_counts")]
    assert {name: tally.customers for name, tally in scored.segments.items()} == vector["segments"]
    assert lapsed.customers == vector["churned_gt180"]
    assert lapsed.rate == pytest.approx(vector["churn_rate"])
    assert simple.lifespan_years == pytest.approx(vector["lifespan"])
    assert simple.average_order_value / 100 == pytest.approx(vector["avg_order_value"])
    assert simple.average_frequency == pytest.approx(vector["avg_frequency"])
    assert simple.ltv / 100 == pytest.approx(vector["ltv_spec"])


def test_cdnow_on_later_days_gives_the_published_churn_and_ltv(sqlite_store: SqlStore) -> None:
    lines: list[Order] = sorted(cdnow_orders(CDNOW_MASTER), key=lambda each: each.day)
    processor, done, expected = rfm_orders({}), 0, rfm_figures()
    for text in sorted({*PUBLISHED, *expected}):
        today = (date.fromisoformat(text) - EPOCH).days
        due = [each for each in lines[done:] if each.day <= today]
        for start in range(0, len(due), BATCH):
            batch = due[start : start + BATCH]
            orders = [
                order(f"{done + start + i}", customer=each.customer, day=each.day, total=each.cents)
                for i, each in enumerate(batch)
            ]
            fold(sqlite_store, [orders], batch[-1].day, processor)
            with sqlite_store.begin() as transaction:
                processor.tick(transaction, at(batch[-1].day))
        done += len(due)
        with sqlite_store.begin() as transaction:
            processor.tick(transaction, at(today))
        scored, lapsed, simple = told(sqlite_store, today)
        if text in PUBLISHED:
            assert (round(lapsed.rate or 0, 3), round(simple.ltv / 100, 2)) == PUBLISHED[text]
        if text in expected:
            assert_meets_the_vector(scored, lapsed, simple, expected[text])
        agrees(scored, rfm_of(lines, today))
    assert_cells_are_the_sum_of_customers_and_customers_of_orders(sqlite_store)
