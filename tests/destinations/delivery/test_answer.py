"""The answers about accounts and orders, and percentiles of latencies."""

import pytest
from msgspec import to_builtins

from destinations.delivery.answer import account, order, percentile
from destinations.delivery.ledger import (
    claim,
    register,
    settle_sent,
)
from destinations.delivery.rows import AccountRow
from stream.store.sql.store import SqlStore
from tests.support.delivery.capi_orders import (
    ACCOUNT,
    NOW_MS,
    PIXEL,
    SHOP,
    seen,
)
from tests.support.delivery.outbox import META, SENT, fold


def test_the_answers_have_the_documented_shape(store: SqlStore) -> None:
    fold(
        store, seen(order_id=1), seen(order_id=2, note_attributes=None), seen(order_id=3, test=True)
    )
    with store.begin() as transaction:
        assert register(transaction, SHOP, ACCOUNT) == AccountRow(SHOP, ACCOUNT)
        settle_sent(
            transaction,
            store.dialect,
            claim(transaction, store.dialect, SHOP, ACCOUNT, "a", NOW_MS, 60_000, 1),
            SENT,
        )
    with store.snapshot() as snapshot:
        state = to_builtins(account(snapshot, META, NOW_MS + 60_000))
        orders = [to_builtins(order(snapshot, META, order_id)) for order_id in ("1", "2", "3", "4")]
    assert (state["pixel_id"], state["state"], state["paused"]) == (PIXEL, "sending", None)
    assert {key: n for key, n in state["outcomes"].items() if n} == {
        "pending": 1,
        "sent": 1,
        "skipped": 1,
    }
    assert state["match_keys"]["em"] == 1.0
    assert state["match_keys"]["fbp"] == 0.5
    assert state["latency_ms"]["p50"] == pytest.approx(40, rel=0.1)
    assert state["oldest_unsent_s"] == 120
    by_outcome = {order["outcome"]: order for order in orders if order}
    assert set(by_outcome) == {"sent", "pending", "skipped"}
    assert orders[3] is None
    shown = by_outcome["sent"]
    assert shown["sent_at"] == "2026-11-22T12:00:00.040Z"
    assert shown["received_at"] == "2026-11-22T12:00:00.000Z"
    assert shown["attempts"] == [
        {
            "at": "2026-11-22T12:00:00.040Z",
            "duration_ms": 10,
            "class": "sent",
            "http_status": 200,
            "code": None,
            "subcode": None,
            "fbtrace_id": "T1",
        }
    ]
    assert by_outcome["skipped"]["reason"] == "a test order"


def test_percentiles_are_interpolated_within_a_bucket() -> None:
    assert percentile({}, 0.5) is None
    assert percentile({40: 100}, 0.5) == pytest.approx(2 ** (40.5 / 8), abs=0.1)
    assert percentile({40: 98, 80: 2}, 0.99) == pytest.approx(2 ** (80.5 / 8), abs=0.1)
