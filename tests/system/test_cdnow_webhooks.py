"""The CDNOW purchase log, sent as Shopify webhooks, gives the published RFM numbers (Fader &
Hardie).

Every line of the master file up to 1997-09-30 is one order, out of order and some twice; of later
ones every third. The shop is in New York and sells at 23:30. The clock stands on 1997-09-30, and
then on 1998-06-30, where a brute-force oracle counts. In bins of money few customers change their
segment.
"""

import asyncio
import functools
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import date, datetime, time, timedelta
from pathlib import Path
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import orjson
import pytest
from prometheus_client import CollectorRegistry

from aggregates.rfm.answer.scores import RfmScores, rfm
from aggregates.rfm.fold.customer import RFM_CELLS
from aggregates.rfm.fold.shop import to_bins
from ingest.shopify.webhooks import identify
from processors.engine.runner import Runner
from processors.shopify.orders import OrderEvent
from query.api_settings import ShopAnswerSettings
from stream.log.sqlite.log import SqliteLog
from stream.metrics import ProcessorMetrics
from stream.money import amount
from stream.record import Record
from stream.store.sql.store import SqlStore
from tests.aggregates.rfm.test_rfm_answer import assert_published
from tests.aggregates.rfm.test_rfm_answer import money as usd
from tests.aggregates.rfm.test_scores import agrees
from tests.support.api.api_client import serving
from tests.support.oracles.oracle_rfm import Order, rfm_of
from tests.support.servers.migrated_store import write_migrated
from tests.support.shopify.golden import CALIBRATION_ENDS, CDNOW_MASTER, cdnow_orders, rfm_figures
from tests.support.shops.folding import rfm_orders
from tests.support.shops.rfm_store import (
    assert_cells_are_the_sum_of_customers_and_customers_of_orders,
)
from tests.system.checks import cell_rows

SHOP = "cdnow.myshopify.com"
ZONE = ZoneInfo("America/New_York")
"""Its evening is the next day in UTC."""
EPOCH = date(1970, 1, 1)
LAST_DAY = (date(1998, 6, 30) - EPOCH).days


@functools.cache
def late_evening(day: int) -> tuple[str, int]:
    """When the shop sells on `day`, as Shopify writes it and in Unix milliseconds."""
    at = datetime.combine(EPOCH + timedelta(days=day), time(23, 30), ZONE)
    return at.isoformat(), round(at.timestamp() * 1000)


def webhook(number: int, order: Order) -> Record:
    """The line as the receiver would put it on the log."""
    bought, bought_ms = late_evening(order.day)
    dollars, customer = f"{order.cents / 100:.2f}", int(order.customer)
    body = {
        "id": 450_789_469 + number,
        "admin_graphql_api_id": f"gid://shopify/Order/{450_789_469 + number}",
        "processed_at": bought,
        "created_at": bought,
        "updated_at": bought,
        "currency": "USD",
        "total_price": dollars,
        "current_total_price": dollars,
        "total_price_set": {"shop_money": {"amount": dollars, "currency_code": "USD"}},
        "financial_status": "paid",
        "test": False,
        "cancelled_at": None,
        "refunds": [],
        "customer": {"id": customer, "email": f"customer{customer}@example.com"},
        "email": f"customer{customer}@example.com",
        "source_name": "web",
    }
    headers = {"X-Shopify-Topic": "orders/create", "X-Shopify-Webhook-Id": f"cdnow-{number}"}
    return identify(SHOP, headers, orjson.dumps(body), bought_ms).record


def evening_ms(day: int) -> int:
    """Six minutes before the end of the shop's day."""
    midnight = datetime.combine(EPOCH + timedelta(days=day), datetime.min.time(), ZONE)
    return round((midnight.timestamp() + 23.9 * 3600) * 1000)


async def replay(
    log: SqliteLog, store: SqlStore, orders: list[tuple[int, Order]], today: int, random: Random
) -> None:
    """Append `orders` as webhooks, out of order, a twentieth twice, and fold them on the evening of
    `today`."""
    found = [webhook(number, order) for number, order in orders]
    found += random.sample(found, len(found) // 20)
    random.shuffle(found)
    for start in range(0, len(found), 2_000):
        await log.append(found[start : start + 2_000])
    stop = asyncio.Event()
    end = (await log.spans("orders"))[0].next

    def committed(_: Sequence[OrderEvent]) -> None:
        with store.snapshot() as snapshot:
            if snapshot.positions("orders")[0].next == end:
                stop.set()

    processor = rfm_orders({SHOP: ZONE})
    metrics = ProcessorMetrics(CollectorRegistry(), "orders")
    await Runner[OrderEvent](
        processor,
        log,
        store,
        metrics=metrics,
        clock_ms=lambda: evening_ms(today),
        committed=committed,
    ).run(stop)
    with store.begin() as transaction:
        processor.tick(transaction, evening_ms(today))


def scores(store: SqlStore, today: int) -> RfmScores:
    """What `/v1/rfm` is made of."""
    columns = np.array([row[1:] for row in cell_rows(store, RFM_CELLS)], dtype=np.int64).T
    return rfm(*columns, asof_day=today)


async def assert_close_in_bins_of_money(
    log: SqliteLog, tmp_path: Path, expected: dict[str, Any]
) -> None:
    """A copy of the store, as if the shop were too large to count its customers to the cent."""
    here, there = tmp_path / "state.db", tmp_path / "bins.db"
    with closing(sqlite3.connect(here)) as exact, closing(sqlite3.connect(there)) as copy:
        exact.backup(copy)
    store = SqlStore.open(f"sqlite:///{there}")
    try:
        now_ms = evening_ms(CALIBRATION_ENDS)
        with store.begin() as transaction:
            to_bins(transaction, SHOP)
        shops = {SHOP: ShopAnswerSettings(zone=ZONE)}
        async with serving(store, log, shops=shops, now_ms=now_ms) as api:
            shown = await api.answer("/v1/rfm")
    finally:
        store.close()
    assert_published(shown, expected)
    segments = {each["segment"]: each["customers"] for each in shown["segments"]}
    moved = sum(abs(segments[name] - count) for name, count in expected["segments"].items()) / 2
    assert 0 < moved <= 0.005 * expected["customers_in_window"]


async def test_cdnow_sent_as_webhooks_gives_the_published_numbers(tmp_path: Path) -> None:
    orders = list(enumerate(cdnow_orders(CDNOW_MASTER)))
    expected = rfm_figures()["1997-09-30"]
    store = SqlStore.open(write_migrated(tmp_path / "state.db"))
    log = await SqliteLog.open(tmp_path / "log.db")
    random = Random(1997)
    try:
        until = [(number, order) for number, order in orders if order.day <= CALIBRATION_ENDS]
        await replay(log, store, until, CALIBRATION_ENDS, random)
        answers = ShopAnswerSettings(zone=ZONE)
        now_ms = evening_ms(CALIBRATION_ENDS)
        async with serving(store, log, shops={SHOP: answers}, now_ms=now_ms) as api:
            shown = await api.answer("/v1/rfm")
        assert_published(shown, expected)
        assert shown["cutoffs"]["monetary"] == [
            amount(cut, "USD") for cut in expected["cutoffs"]["monetary_cents"]
        ]
        assert shown["scores"]["monetary"] == expected["m_counts"]
        segments = {each["segment"]: each["customers"] for each in shown["segments"]}
        assert segments == expected["segments"]
        assert float(shown["ltv_predicted"]["total"]["amount"]) > 0
        assert shown["churn"]["of"] == expected["customers_ever"]
        simple = shown["ltv_simple"]
        assert simple["average_order_value"] == usd(100 * expected["avg_order_value"])
        assert simple["average_frequency"] == pytest.approx(expected["avg_frequency"], rel=1e-9)

        await assert_close_in_bins_of_money(log, tmp_path, expected)

        after = [(number, order) for number, order in orders if order.day > CALIBRATION_ENDS][::3]
        await replay(log, store, after, LAST_DAY, random)
        later = scores(store, LAST_DAY)
        agrees(later, rfm_of([order for _, order in [*until, *after]], LAST_DAY))
        assert_cells_are_the_sum_of_customers_and_customers_of_orders(store)
    finally:
        await log.close()
        store.close()
