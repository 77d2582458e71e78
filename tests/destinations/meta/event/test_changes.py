"""What is sent of an order that changes: every cell of the tables in processors/shopify/bought.py
and destinations/delivery/outbox.py, in every order of arrival."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import permutations
from typing import Any, NamedTuple

import orjson
import pytest

from destinations.delivery.rows import OUTBOX, OutboxRow
from destinations.meta.settings import CapiSettings
from processors.shopify.orders import Order
from stream.store.sql.store import SqlStore
from tests.support.delivery.capi_orders import (
    ACCOUNT,
    NOW,
    NOW_MS,
    SHOP,
    body,
    processor,
    seen,
    settings,
)

ON_ONE_STORE = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
pytestmark = ON_ONE_STORE

Json = dict[str, Any]


class Sale(NamedTuple):
    """What is sent: value in cents, and units."""

    outcome: str
    value: int = 0
    units: int = 0


WHOLE, LESS, MORE = Sale("pending", 5990, 3), Sale("pending", 3990, 2), Sale("pending", 7490, 4)
NOTHING = Sale("skipped")


def eur(amount: str) -> Json:
    return {"shop_money": {"amount": amount, "currency_code": "EUR"}}


def current(total: str, *units: int) -> Json:
    """What is left of the order of two lines, 2 units at 20.00 and 1 at 15.00; 59.90 in all."""
    lines = body()["line_items"]
    for number, (line, left) in enumerate(zip(lines, units, strict=True), 1):
        line |= {"id": number, "current_quantity": left}
    return {"current_total_price": total, "line_items": lines}


AS_ORDERED = current("59.90", 2, 1)
DOWN = current("39.90", 1, 1)
UP = current("74.90", 2, 2)


def taken_off(**more: Any) -> Json:
    line = {"line_item_id": 1, "quantity": 1, "subtotal_set": eur("20.00")}
    return {"id": 9, "refund_line_items": [line], **more}


PAID_BACK = [{"kind": "refund", "status": "success", "amount": "20.00", "currency": "EUR"}]
EDIT = DOWN | {"refunds": [taken_off()]}
RETURN = DOWN | {"refunds": [taken_off(transactions=PAID_BACK)]}
OWED = DOWN | {"refunds": [taken_off(order_adjustments=[{"amount_set": eur("20.00")}])]}
GESTURE = AS_ORDERED | {"refunds": [{"id": 9, "transactions": PAID_BACK}]}
CANCELLED = {"cancelled_at": NOW.isoformat(), "financial_status": "voided"}
RETURNED = {"cancelled_at": NOW.isoformat(), "financial_status": "refunded"}


def was(status: str, answer: Json) -> Json:
    return {"financial_status": status, **answer}


SCENARIOS: dict[str, tuple[Sequence[Json], Sale]] = {
    "paid": ([was("pending", AS_ORDERED), was("paid", AS_ORDERED)], WHOLE),
    "edited down before payment": (
        [was("pending", AS_ORDERED), was("pending", DOWN), was("paid", DOWN)],
        LESS,
    ),
    "edited down between authorisation and capture": (
        [was("authorized", AS_ORDERED), was("authorized", EDIT), was("paid", EDIT)],
        LESS,
    ),
    "edited up before payment": (
        [was("pending", AS_ORDERED), was("pending", UP), was("paid", UP)],
        MORE,
    ),
    "edited down after payment": ([was("paid", AS_ORDERED), was("paid", DOWN)], LESS),
    "edited down after payment, the money owed": (
        [was("paid", AS_ORDERED), was("paid", OWED)],
        WHOLE,
    ),
    "edited up after payment": (
        [was("paid", AS_ORDERED), was("partially_paid", UP)],
        WHOLE,
    ),
    "edited up after payment, and paid": (
        [was("paid", AS_ORDERED), was("partially_paid", UP), was("paid", UP)],
        MORE,
    ),
    "returned": ([was("paid", AS_ORDERED), was("partially_refunded", RETURN)], WHOLE),
    "money back without goods": (
        [was("paid", AS_ORDERED), was("partially_refunded", GESTURE)],
        WHOLE,
    ),
    "edited down, paid, then returned": (
        [
            was("pending", AS_ORDERED),
            was("pending", EDIT),
            was("paid", EDIT),
            was(
                "partially_refunded",
                current("19.90", 0, 1)
                | {"refunds": [taken_off(), {**taken_off(transactions=PAID_BACK), "id": 10}]},
            ),
        ],
        LESS,
    ),
    "never paid": ([was("pending", AS_ORDERED), was("partially_paid", AS_ORDERED)], NOTHING),
    "cancelled before payment": ([was("pending", AS_ORDERED), AS_ORDERED | CANCELLED], NOTHING),
    "cancelled after payment": (
        [was("pending", AS_ORDERED), was("paid", AS_ORDERED), AS_ORDERED | RETURNED],
        NOTHING,
    ),
    "edited up after payment, then cancelled": (
        [was("paid", AS_ORDERED), was("partially_paid", UP), UP | RETURNED],
        NOTHING,
    ),
}


def states(answer: Sequence[Json], order_id: int) -> list[Order]:
    """The states of an order, a minute apart."""
    return [
        seen(
            order_id=order_id,
            updated_at=(NOW + timedelta(minutes=minute)).isoformat(),
            **changes,
        )
        for minute, changes in enumerate(answer)
    ]


def fold(store: SqlStore, *orders: Order, chosen: CapiSettings | None = None) -> None:
    for order in orders:
        with store.begin() as transaction:
            processor(chosen or settings()).apply(transaction, [order], NOW_MS)


def row_of(store: SqlStore, order_id: int) -> OutboxRow:
    key = (SHOP, ACCOUNT, "Purchase", str(order_id))
    with store.begin() as transaction:
        return transaction.load(OUTBOX, [key])[key]


def sale(row: OutboxRow) -> Sale:
    if not row.payload:
        return Sale(row.outcome)
    data = orjson.loads(row.payload)["custom_data"]
    assert data["num_items"] == sum(item["quantity"] for item in data["contents"])
    return Sale(row.outcome, round(data["value"] * 100), data["num_items"])


@pytest.mark.parametrize("name", SCENARIOS)
def test_before_sending_the_same_is_sent_in_every_order_of_arrival(
    store: SqlStore, name: str
) -> None:
    answer, expected = SCENARIOS[name]
    found = {}
    for order_id, arrival in enumerate(permutations(range(len(answer))), 5001):
        known = states(answer, order_id)
        fold(store, *(known[number] for number in arrival))
        found[arrival] = sale(row_of(store, order_id))
    assert found == dict.fromkeys(found, expected)


@pytest.mark.parametrize("name", SCENARIOS)
def test_in_one_batch_the_same_is_sent(store: SqlStore, name: str) -> None:
    answer, expected = SCENARIOS[name]
    for order_id, arrival in enumerate(permutations(range(len(answer))), 5001):
        known = states(answer, order_id)
        with store.begin() as transaction:
            processor(settings()).apply(transaction, [known[n] for n in arrival], NOW_MS)
        assert sale(row_of(store, order_id)) == expected, arrival


@pytest.mark.parametrize("outcome", ["sent", "sending", "maybe_accepted", "dead"])
@pytest.mark.parametrize(
    ("later", "status"),
    [(DOWN, "paid"), (UP, "partially_paid"), (UP, "paid"), (RETURN, "partially_refunded")],
)
def test_after_a_request_nothing_changes_what_is_sent(
    store: SqlStore, outcome: str, later: Json, status: str
) -> None:
    first, newer = states([was("paid", AS_ORDERED), was(status, later)], 5001)
    fold(store, first)
    made = row_of(store, 5001)._replace(outcome=outcome)
    with store.begin() as transaction:
        transaction.save(OUTBOX, [made])
    fold(store, newer)
    row = row_of(store, 5001)
    assert (row.outcome, row.payload, row.veto) == (outcome, made.payload, "")


def test_a_request_that_failed_is_made_again_with_the_same_payload(store: SqlStore) -> None:
    first, newer = states([was("paid", AS_ORDERED), was("paid", DOWN)], 5001)
    fold(store, first)
    made = row_of(store, 5001)._replace(attempts='{"at_ms": 1}\n')
    with store.begin() as transaction:
        transaction.save(OUTBOX, [made])
    fold(store, newer)
    assert row_of(store, 5001).payload == made.payload


def test_a_cancellation_after_the_request_stops_the_next_one(store: SqlStore) -> None:
    first, newer = states([was("paid", AS_ORDERED), AS_ORDERED | RETURNED], 5001)
    fold(store, first)
    made = row_of(store, 5001)._replace(outcome="maybe_accepted")
    with store.begin() as transaction:
        transaction.save(OUTBOX, [made])
    fold(store, newer)
    assert row_of(store, 5001).outcome == "skipped"


def test_cash_on_delivery_is_sent_immediately_where_the_shop_asks_for_it(store: SqlStore) -> None:
    answer = [was("pending", AS_ORDERED), was("paid", AS_ORDERED)]
    for order_id, arrival in enumerate(permutations(range(2)), 5001):
        known = states(answer, order_id)
        fold(store, *(known[n] for n in arrival), chosen=settings(trigger="created"))
        assert sale(row_of(store, order_id)) == WHOLE


def test_an_order_paid_in_time_is_not_kept_back_for_what_happens_days_later(
    store: SqlStore,
) -> None:
    chosen = settings(late_payment="skip")
    first, _ = states([was("paid", AS_ORDERED)] * 2, 5001)
    fold(store, first, chosen=chosen)
    days_later = NOW + timedelta(days=3)
    received_ms = NOW_MS + 3 * 86_400_000
    newer = seen(received_ms, order_id=5001, updated_at=days_later.isoformat(), **AS_ORDERED)
    fold(store, newer, chosen=chosen)
    assert sale(row_of(store, 5001)) == WHOLE
