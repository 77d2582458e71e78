"""What a merchant keeps of an order, however its refunds, returns and edits are told."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from orderwire.demo.delivery import Delivery
from orderwire.demo.mix import Mix
from orderwire.demo.oracle import expected_orders
from orderwire.demo.shop import ShopSimulator
from processors.events import CustomersMerged, OrderEvent, Refund, RefundCreated, decode_order
from processors.order_state import OrderRow, counts, merge, net
from stream.record import Entry, Record
from tests.orders import SHOP, order


def state(events: Sequence[OrderEvent]) -> OrderRow:
    row: OrderRow | None = None
    for event in events:
        row = merge(row, event, lambda _: "1")
    assert row is not None
    return row


@pytest.mark.parametrize(
    ("total", "current", "refunds", "kept"),
    [
        (1000, 1000, (), 1000),
        (1000, 700, (Refund("r", 300, 300),), 700),
        (1000, 1000, (Refund("r", 300),), 700),
        (1000, 800, (Refund("r", 300, 200),), 700),
        (1000, 1300, (Refund("r", 200, 200),), 1300),
        (1000, 800, (), 800),
        (1000, 800, (Refund("r", 200),), 800),
        (1000, 700, (Refund("r", 300),), 700),
        (1000, 1000, (Refund("r", 300, 300),), 700),
        (1000, 0, (Refund("r", 1000, 1000),), 0),
        (1000, 900, (Refund("r", 0, 100),), 900),
    ],
    ids=[
        "nothing happened", "returned and refunded", "money without a return", "a return and some money more",
        "a line added, another returned", "a line edited away", "and its money given back", "a payload without refunded lines",
        "a payload whose current total is never reduced", "all given back", "returned, the money still to come",
    ],
)  # fmt: skip
def test_net_is_what_the_merchant_keeps(total: int, current: int, refunds: tuple[Refund, ...], kept: int) -> None:
    assert net(state([order("1", total=total, current=current, refunds=refunds)])) == kept


def test_a_refund_that_the_newest_snapshot_does_not_know_is_taken_off() -> None:
    refund = RefundCreated(shop=SHOP, order_id="1", refund=Refund("r", 300, 300), currency="USD")
    assert net(state([refund, order("1", total=1000)])) == 700
    assert net(state([order("1", total=1000), refund])) == 700
    assert net(state([order("1", version=2, total=1000, current=700, refunds=(Refund("r", 300, 300),)), refund])) == 700


def test_a_refund_that_the_newest_snapshot_does_not_list_is_not_taken_off_twice() -> None:
    """`current_total` lacks the 300 already: an edit took them off, or the payload leaves `refunds` out."""
    refund = RefundCreated(shop=SHOP, order_id="1", refund=Refund("r", 300, 300), currency="USD")
    edited = order("1", version=2, total=1000, current=700)
    assert net(state([order("1", total=1000), refund, edited])) == 700
    assert net(state([edited, refund])) == 700
    more = RefundCreated(shop=SHOP, order_id="1", refund=Refund("s", 200), currency="USD")
    assert net(state([refund, edited, more])) == 500


@pytest.mark.parametrize("seed", range(6))
def test_net_agrees_with_the_simulator_s_own_account(seed: int) -> None:
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    simulator = ShopSimulator(seed, SHOP, "secret", now, customers=60, mix=Mix(after_edits=True))
    deliveries: list[Delivery] = list(simulator.history(120))
    rows: dict[str, OrderRow] = {}
    for offset, delivery in enumerate(deliveries):
        if not delivery.topic.startswith(("orders/", "refunds/")):
            continue
        headers = {"shop": SHOP, "topic": delivery.topic, "triggered_at": delivery.triggered_at}
        event = decode_order(Entry(Record("orders", "", str(offset), 0, headers, delivery.body), 0, offset), {})
        if event is not None and not isinstance(event, CustomersMerged):
            rows[event.order_id] = merge(rows.get(event.order_id), event, lambda o: o.customer_id or "")
    expected = expected_orders(deliveries)
    assert len(expected) > 50
    assert {key: net(row) if counts(row) else 0 for key, row in rows.items()} == {key: one.net for key, one in expected.items()}
