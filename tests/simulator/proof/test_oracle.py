"""The oracle finds the shop's own truth in its deliveries, in any order of arrival."""

from datetime import timedelta
from random import Random

import orjson
from hypothesis import example, given, settings
from hypothesis import strategies as st

from simulator.proof.oracle import expected_orders, purchase
from simulator.shop.mix import Mix
from tests.support.shops.simulated_shop import NOW, mangle, shop, visits


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    currency=st.sampled_from(["USD", "JPY", "KWD"]),
    after_edits=st.booleans(),
    visited=st.just(200),
)
@example(
    seed=3_577, currency="USD", after_edits=True, visited=400
)  # once added to an order whose money had all gone back before its goods had
def test_the_oracle_finds_the_shops_own_truth_in_any_order_of_arrival(
    seed: int, currency: str, after_edits: bool, visited: int
) -> None:
    simulator = shop(seed, customers=60, currency=currency, mix=Mix(after_edits=after_edits))
    deliveries = [*simulator.history(200), *visits(simulator, visited)]
    arriving = mangle(deliveries, seed)
    Random(seed).shuffle(arriving)
    found = expected_orders(arriving)
    for order_id, kept in simulator.ledger.items():
        assert (found[order_id].counted, found[order_id].net) == (
            kept.counted,
            kept.net if kept.counted else 0,
        )


def test_without_an_orders_last_state_a_refund_is_taken_off_whole() -> None:
    simulator = shop(mix=Mix(after_edits=False))
    deliveries = visits(simulator, 500)
    at = next(n for n, delivery in enumerate(deliveries) if delivery.topic == "refunds/create")
    refunded, before = deliveries[at], expected_orders(deliveries[:at])
    money = sum(
        round(float(one["amount"]) * 100) for one in orjson.loads(refunded.body)["transactions"]
    )
    assert money > 0
    assert expected_orders(deliveries[: at + 1])[refunded.key].net == max(
        0, before[refunded.key].net - money
    )


def test_meta_must_hear_of_paid_web_orders_and_never_of_unpaid_test_or_old_ones() -> None:
    simulator = shop()
    orders = expected_orders([*simulator.history(100), *visits(simulator, 600)])
    answer = {
        verdict: [order for order in orders.values() if purchase(order, NOW) == verdict]
        for verdict in ("must", "may", "must_not")
    }
    assert all(order.paid and order.counted for order in answer["must"])
    assert all(
        not order.ever_paid or order.test or NOW - order.processed_at > timedelta(days=7)
        for order in answer["must_not"]
    )
    assert all(
        order.source_name != "web" or order.cancelled or order.financial_status == "refunded"
        for order in answer["may"]
    )
    assert all(answer.values())
