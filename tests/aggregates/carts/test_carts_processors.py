"""The two processors as the runner uses them: from records, and beside each other."""

import json
import random
import threading
from typing import Any

from processors.checkouts.processor import Checkouts
from processors.orders.processor import OrdersProcessor
from processors.shopify.orders import Order
from stream.record import Entry, Record
from stream.store.contract import StoreUnavailable
from stream.store.sql.store import SqlStore
from tests.support.shopify import golden
from tests.support.shopify.cart_events import (
    DAY,
    SHOP,
    assert_equation,
    checkouts_in,
    emptied,
    everything,
    fold,
    ms,
)
from tests.support.shops.carts_shop import before, simulated
from tests.support.shops.folding import carts_checkouts, carts_orders


def entry(topic: str, shopify_topic: str, body: dict[str, Any]) -> Entry:
    headers = {"source": "shopify", "topic": shopify_topic, "shop": SHOP}
    return Entry(Record(topic, "k", "id", ms(0), headers, json.dumps(body).encode()), 0, 0)


def test_a_test_order_completes_no_checkout(store: SqlStore) -> None:
    body = {
        "id": 1,
        "created_at": "2026-08-01T00:00:00Z",
        "currency": "USD",
        "total_price": "1.00",
        "financial_status": "paid",
        "checkout_token": "t",
    }
    processor = carts_orders()
    for test, rows in ((True, 0), (False, 1)):
        event = processor.decode(entry("orders", "orders/create", {**body, "test": test}))
        assert isinstance(event, Order)
        with store.begin() as transaction:
            processor.apply(transaction, [event], ms(0))
        assert len(checkouts_in(store)) == rows


def test_examples_of_checkouts_and_carts_are_understood_and_counted(store: SqlStore) -> None:
    processor, events = carts_checkouts(), []
    for payload in golden.payloads():
        if payload.topic.startswith(("checkouts/", "carts/")):
            answer = json.loads(payload.body)
            events.append(processor.decode(entry("checkouts", payload.topic, answer)))
    assert len(events) >= 5
    with store.begin() as transaction:
        processor.apply(transaction, [event for event in events if event is not None], ms(0))
    assert [row.state for row in checkouts_in(store)] != []
    assert_equation(store)


def test_both_processors_together_end_where_one_after_the_other_would(store: SqlStore) -> None:
    now_ms = ms(20 * DAY)
    events = before(simulated(7, 150, 20), now_ms)
    fold(store, events, now_ms)
    expected = everything(store)
    emptied(store)
    failures: list[BaseException] = []

    def work(processor: Checkouts | OrdersProcessor, mine: list[Any], seed: int) -> None:
        random.Random(seed).shuffle(mine)
        try:
            for start in range(0, len(mine), 20):
                for _ in range(100):
                    try:
                        with store.begin() as transaction:
                            processor.apply(transaction, mine[start : start + 20], now_ms)
                        break
                    except StoreUnavailable:
                        continue
                else:
                    raise AssertionError("no attempt got through")
        except BaseException as error:
            failures.append(error)

    orders = [event for event in events if isinstance(event, Order)]
    others = [event for event in events if not isinstance(event, Order)]
    jobs: list[tuple[Checkouts | OrdersProcessor, list[Any]]] = [
        (carts_checkouts(), others[::2]),
        (carts_checkouts(), others[1::2]),
        (carts_orders(), orders),
    ]
    threads = [threading.Thread(target=work, args=(*job, seed)) for seed, job in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert everything(store) == expected
