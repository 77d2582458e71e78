"""The demo's checks pass a store that is right, and fail for one that is not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from simulator.proof import sums, verify
from simulator.proof.oracle import expected_orders, purchase
from stream.record import Entry
from stream.store.sql.store import SqlStore
from tests.support.shops.folded_shop import NOW, PIXEL, SHOP, deliveries, entries, processors


def found(store: SqlStore, log: list[Entry], folder: Path) -> dict[str, list[str]]:
    with store.snapshot() as snapshot:
        return {
            "cells": sums.cells_differ(snapshot),
            "fold": sums.refolded(log, processors(), snapshot, folder, int(NOW.timestamp() * 1000)),
            "oracle": verify.oracle_differs(
                expected_orders(verify.arrived(log, ())).values(), snapshot, SHOP
            ),
        }


def test_a_store_that_is_right_passes_every_check(
    folded: tuple[SqlStore, list[Entry]], tmp_path: Path
) -> None:
    assert found(*folded, tmp_path) == {"cells": [], "fold": [], "oracle": []}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("tampering", "undone", "failing"),
    [
        (
            "UPDATE rfm_cell SET customers = customers + 1",
            "UPDATE rfm_cell SET customers = customers - 1",
            {"cells", "fold", "oracle"},
        ),
        (
            "UPDATE shop_order SET digest = digest || 'x'",
            "UPDATE shop_order SET digest = rtrim(digest, 'x')",
            {"fold"},
        ),
        (
            "UPDATE budget_cell SET revenue = revenue + 1",
            "UPDATE budget_cell SET revenue = revenue - 1",
            {"cells", "fold"},
        ),
        (
            "UPDATE rfm_customer_day SET revenue = revenue + 1",
            "UPDATE rfm_customer_day SET revenue = revenue - 1",
            {"fold", "oracle"},
        ),
        (
            "UPDATE rfm_customer SET first_day_revenue = first_day_revenue + 1",
            "UPDATE rfm_customer SET first_day_revenue = first_day_revenue - 1",
            {"cells", "fold", "oracle"},
        ),
        (
            "UPDATE cart_open SET carts = carts + 1",
            "UPDATE cart_open SET carts = carts - 1",
            {"cells", "fold"},
        ),
    ],
)
def test_a_store_that_is_wrong_by_one_fails(
    folded: tuple[SqlStore, list[Entry]],
    tmp_path: Path,
    tampering: str,
    undone: str,
    failing: set[str],
) -> None:
    store, log = folded
    with store.begin() as transaction:
        assert transaction.execute(tampering) > 0
    try:
        assert {
            name for name, differences in found(store, log, tmp_path).items() if differences
        } == failing
    finally:
        with store.begin() as transaction:
            transaction.execute(undone)


def test_a_record_that_the_log_has_lost_is_missed_by_its_id() -> None:
    log = entries(deliveries()[:20])
    sent = verify.Sent(acknowledged={entry.record.id: 1 for entry in log}, broken={})
    assert verify.lost(sent, log) == []
    assert verify.lost(sent, log[1:]) == [
        f"1 acknowledged, but not in the log, such as {log[0].record.id}"
    ]
    assert verify.lost(replace(sent, broken={log[0].record.id: "bad_signature"}), log) != []


def test_meta_must_have_every_sale_once_and_nothing_else() -> None:
    orders = list(expected_orders(deliveries()).values())
    sales = [order.order_id for order in orders if purchase(order, NOW) == "must"]
    never = next(order.order_id for order in orders if purchase(order, NOW) == "must_not")
    assert len(sales) > 5

    def differ(events: dict[str, int], **books: Any) -> list[str]:
        rows = [
            [PIXEL, "Purchase", event_id, times, times, 0.0] for event_id, times in events.items()
        ]
        account = {"events": rows, "conflicts": [], "rejected": {}, "answers": {"200": 1}, **books}
        return verify.meta_differs(account, orders, PIXEL, NOW, NOW) + verify.sent_again(
            account, PIXEL
        )

    right = dict.fromkeys(sales, 1)
    assert differ(right) == []
    assert "sales that Meta does not have" in differ(dict.fromkeys(sales[1:], 1))[0]
    assert "no sale for Meta" in differ({**right, never: 1})[0]
    assert "more than once" in differ({**right, sales[0]: 2})[0]
    assert differ({**right, sales[0]: 2}, answers={"200": 1, "reset": 1}) == [], (
        "a sender that cannot know sends again"
    )
    assert differ(right, rejected={"currency": 1})
    assert differ(right, conflicts=[{"kind": "two_event_ids", "event_id": "1", "order_id": "1"}])
