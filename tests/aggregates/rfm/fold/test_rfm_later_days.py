"""CDNOW folded in the order in which it was bought, while the shop's clock goes on to days when
orders have left the window, against an oracle that counts customer by customer.
"""

import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from aggregates.rfm.answer.churn import Churn, churn
from aggregates.rfm.answer.scores import RfmScores, rfm
from aggregates.rfm.fold.customer import LAST_DAY_CELLS, RFM_CELLS
from stream.store.sql.store import SqlStore
from tests.aggregates.rfm.test_scores import agrees
from tests.support.oracles.oracle_rfm import rfm_of
from tests.support.shopify.golden import CDNOW_SAMPLE, cdnow_orders
from tests.support.shopify.orders import order
from tests.support.shops.folding import rfm_orders
from tests.support.shops.rfm_store import (
    assert_cells_are_the_sum_of_customers_and_customers_of_orders,
    at,
    fold,
    nonzero,
)

EPOCH = date(1970, 1, 1)
DAYS = ("1997-09-30", "1998-01-31", "1998-06-30")
BATCH = 500


@pytest.fixture
def sqlite_store(tmp_path: Path, migrated_sqlite: Path) -> Iterator[SqlStore]:
    shutil.copy(migrated_sqlite, tmp_path / "state.db")
    opened = SqlStore.open(f"sqlite:///{tmp_path / 'state.db'}")
    yield opened
    opened.close()


def found(store: SqlStore, today: int) -> tuple[RfmScores, Churn]:
    """What `/v1/rfm` is made of."""
    cells, days = nonzero(store, RFM_CELLS), nonzero(store, LAST_DAY_CELLS)
    columns = np.array([(*key[1:], *n) for key, n in cells.items()], dtype=np.int64).T
    scored = rfm(*columns, asof_day=today)
    last_days, everybody = np.array([(key[2], *n) for key, n in days.items()], dtype=np.int64).T
    return scored, churn(last_days, everybody, today)


def test_cdnow_on_later_days_is_what_the_oracle_counts(sqlite_store: SqlStore) -> None:
    lines = sorted(cdnow_orders(CDNOW_SAMPLE), key=lambda each: each.day)
    processor, done = rfm_orders({}), 0
    for text in DAYS:
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
        scored, lapsed = found(sqlite_store, today)
        agrees(scored, rfm_of(lines, today))
        last_bought = {each.customer: each.day for each in lines if each.day <= today}
        assert (lapsed.customers, lapsed.of) == (
            sum(today - day > 180 for day in last_bought.values()),
            len(last_bought),
        )
    assert_cells_are_the_sum_of_customers_and_customers_of_orders(sqlite_store)
