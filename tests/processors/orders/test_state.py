"""What a merchant keeps of an order, in whatever form its refunds, returns and edits arrive."""

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.orders.row import OrderRow, counts
from processors.orders.state import fold, net
from processors.shopify.orders import (
    CustomersMerged,
    Incomplete,
    OrderEvent,
    Refund,
    RefundCreated,
    decode_order,
)
from simulator.proof.oracle import expected_orders
from simulator.shop.delivery import Delivery
from simulator.shop.mix import Mix
from simulator.shop.shop import ShopSimulator
from stream.record import Entry, Record
from tests.support.shopify.orders import SHOP, distinct_versions, order

PROPERTY = settings(max_examples=100, deadline=None)


def state(events: Sequence[OrderEvent]) -> OrderRow:
    row: OrderRow | None = None
    for event in events:
        row = fold(row, event)
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
        (1000, 1000, (Refund("r", 200, 200),), 1000),
        (1000, 0, (Refund("r", 1000, 1000),), 0),
        (1000, 900, (Refund("r", 0, 100),), 900),
        (2260, 1130, (Refund("r", 0, 1130), Refund("s", 1130)), 1130),
        (1000, 500, (Refund("r", 450, 500), Refund("s", 50)), 500),
        (1000, 500, (Refund("r", 450, 500), Refund("s", 80)), 470),
        (1000, 500, (Refund("r", 100), Refund("s", 0, 500), Refund("t", 400)), 500),
    ],
    ids=[
        "nothing happened",
        "returned and refunded",
        "money without a return",
        "a return and some money more",
        "a line added, another returned",
        "a line edited away",
        "and its money given back",
        "a payload without refunded lines",
        "a line added, and returned again",
        "all given back",
        "returned, the money still to come",
        "goods first, money later",
        "a fee kept, and given back later",
        "the fee and some money more",
        "money before the goods, the rest after them",
    ],
)
def test_net_is_what_the_merchant_keeps(
    total: int, current: int, refunds: tuple[Refund, ...], kept: int
) -> None:
    assert net(state([order("1", total=total, current=current, refunds=refunds)])) == kept


def test_a_refund_that_the_newest_snapshot_does_not_know_is_taken_off() -> None:
    refund = RefundCreated(shop=SHOP, order_id="1", refund=Refund("r", 300, 300), currency="USD")
    assert net(state([refund, order("1", total=1000)])) == 700
    assert net(state([order("1", total=1000), refund])) == 700
    assert (
        net(
            state(
                [
                    order(
                        "1", version=2, total=1000, current=700, refunds=(Refund("r", 300, 300),)
                    ),
                    refund,
                ]
            )
        )
        == 700
    )


def test_a_refund_that_the_newest_snapshot_does_not_list_is_not_taken_off_twice() -> None:
    """`current_total` lacks the 300 already: an edit took them off, or the payload leaves `refunds`
    out."""
    refund = RefundCreated(shop=SHOP, order_id="1", refund=Refund("r", 300, 300), currency="USD")
    edited = order("1", version=2, total=1000, current=700)
    assert net(state([order("1", total=1000), refund, edited])) == 700
    assert net(state([edited, refund])) == 700
    more = RefundCreated(shop=SHOP, order_id="1", refund=Refund("s", 200), currency="USD")
    assert net(state([refund, edited, more])) == 500


def test_the_money_for_goods_that_an_earlier_refund_took_back_is_taken_off_once() -> None:
    """The snapshot lists the return, and `refunds/create` tells of the money before the next
    snapshot."""
    returned = order("1", total=1000, current=700, refunds=(Refund("r", 0, 300),))
    paid = RefundCreated(shop=SHOP, order_id="1", refund=Refund("s", 300), currency="USD")
    listed = order(
        "1", version=2, total=1000, current=700, refunds=(Refund("r", 0, 300), Refund("s", 300))
    )
    arrivals: list[list[OrderEvent]] = [
        [returned, paid],
        [paid, returned],
        [returned, listed],
        [listed, paid, returned],
    ]
    assert [net(state(events)) for events in arrivals] == [700] * len(arrivals)


def answer(topic: str, body: dict[str, Any]) -> OrderEvent:
    event = decode_order(
        Entry(
            Record("orders", "", "", 0, {"shop": SHOP, "topic": topic}, json.dumps(body).encode()),
            0,
            0,
        ),
        {},
    )
    assert event is not None
    return event


def payload(refunds: Sequence[dict[str, Any]], minute: int = 0, **changes: Any) -> dict[str, Any]:
    """An order of USD 100.00."""
    at = f"2026-11-22T12:{minute:02}:00Z"
    return {
        "id": 1,
        "created_at": at,
        "updated_at": at,
        "currency": "USD",
        "total_price": "100.00",
        "financial_status": "paid",
        "refunds": refunds,
        **changes,
    }


def paid_back(currency: str, amount: str, **answer: Any) -> dict[str, Any]:
    """A refund without lines; the transaction is in the buyer's currency."""
    transaction = {"kind": "refund", "status": "success", "amount": amount, "currency": currency}
    return {"id": 9, "order_id": 1, "transactions": [transaction], **answer}


def line(subtotal: str, tax: str, buyer: tuple[str, str] = ("0", "0")) -> dict[str, Any]:
    """A returned line; `buyer`: subtotal and tax in the buyer's currency, JPY."""

    def both(amount: str, presentment: str) -> dict[str, Any]:
        return {
            "shop_money": {"amount": amount, "currency_code": "USD"},
            "presentment_money": {"amount": presentment, "currency_code": "JPY"},
        }

    return {"subtotal_set": both(subtotal, buyer[0]), "total_tax_set": both(tax, buyer[1])}


@pytest.mark.parametrize("taxes_included", [True, False])
@pytest.mark.parametrize("currency", ["USD", "JPY"])
def test_a_returned_line_is_worth_its_subtotal_where_prices_hold_their_taxes(
    taxes_included: bool, currency: str
) -> None:
    """USD 12.00 come back, of which 2.00 are tax, and USD 3.00 more for the trouble."""
    line_back = (
        line("12.00", "2.00", ("1200", "200"))
        if taxes_included
        else line("10.00", "2.00", ("1000", "200"))
    )
    refund = paid_back(
        currency,
        "15.00" if currency == "USD" else "1500",
        refund_line_items=[line_back],
        order_adjustments=[
            {
                "kind": "refund_discrepancy",
                "amount_set": {
                    "shop_money": {"amount": "-3.00", "currency_code": "USD"},
                    "presentment_money": {"amount": "-300", "currency_code": "JPY"},
                },
            }
        ],
    )
    prices = {"taxes_included": taxes_included}
    first, later = (
        payload([], **prices),
        payload([refund], 5, current_total_price="88.00", **prices),
    )
    events_drawn = [
        [("orders/create", first), ("refunds/create", refund)],
        [("refunds/create", refund), ("orders/create", first)],
        [("orders/create", first), ("refunds/create", refund), ("orders/updated", later)],
        [("orders/updated", later), ("refunds/create", refund)],
        [("orders/updated", later)],
    ]
    assert [net(state([answer(topic, body) for topic, body in each])) for each in events_drawn] == [
        8500
    ] * len(events_drawn)


def test_duties_and_the_tax_on_shipping_that_come_back_are_worth_what_they_cost() -> None:
    """A refund of 20.00 for the goods, 5.00 for shipping (1.00 of it tax) and 4.00 of duties."""
    usd = {"shop_money": {"amount": "5.00", "currency_code": "USD"}}
    refund = paid_back(
        "USD",
        "30.00",
        refund_line_items=[line("20.00", "0.00")],
        refund_shipping_lines=[
            {
                "subtotal_amount_set": usd,
                "tax_amount_set": {"shop_money": {"amount": "1.00", "currency_code": "USD"}},
            }
        ],
        total_duties_set={"shop_money": {"amount": "4.00", "currency_code": "USD"}},
    )
    assert (
        net(state([answer("orders/updated", payload([refund], 5, current_total_price="70.00"))]))
        == 7000
    )


TEN_DOLLARS = {
    "amount_set": {"shop_money": {"amount": "-10.00", "currency_code": "USD"}},
    "tax_amount_set": None,
}


@pytest.mark.parametrize(
    ("currency", "amount"),
    [("IDR", "160000.00"), ("JPY", "1500"), ("KWD", "3.000"), ("USD", "10.00")],
)
def test_a_refund_paid_in_the_buyer_s_currency_counts_in_shop_money_in_whatever_shape(
    currency: str, amount: str
) -> None:
    refund = paid_back(currency, amount, order_adjustments=[TEN_DOLLARS])
    bare = paid_back(currency, amount)
    first, later = payload([]), payload([refund], 5)
    events_drawn = [
        [("refunds/create", refund), ("orders/create", first)],
        [("orders/create", first), ("refunds/create", refund), ("orders/updated", later)],
        [("orders/updated", later)],
        [("refunds/create", bare), ("orders/updated", later), ("orders/create", first)],
        [("orders/updated", later), ("refunds/create", bare), ("refunds/create", refund)],
    ]
    assert [net(state([answer(topic, body) for topic, body in each])) for each in events_drawn] == [
        9000
    ] * len(events_drawn)


@pytest.mark.parametrize(
    "body",
    [
        paid_back("IDR", "160000.00"),
        paid_back("XXX", "5.00"),
        {"id": 9, "order_id": 1, "transactions": []},
    ],
)
def test_money_whose_worth_in_shop_money_nobody_gives_takes_nothing_off(
    body: dict[str, Any],
) -> None:
    row = state([answer("refunds/create", body), answer("orders/create", payload([]))])
    assert net(row) == 10_000
    assert net(state([answer("orders/updated", payload([body], 5))])) == 10_000


def test_a_refund_by_itself_in_the_order_s_own_currency_counts() -> None:
    assert (
        net(
            state(
                [
                    answer("refunds/create", paid_back("USD", "10.00")),
                    answer("orders/create", payload([])),
                ]
            )
        )
        == 9000
    )


@PROPERTY
@given(
    drawn=st.lists(
        st.builds(
            lambda name, money, currency: RefundCreated(
                shop=SHOP, order_id="1", refund=Refund(name, money, money // 2), currency=currency
            ),
            st.sampled_from(["r", "s"]),
            st.integers(0, 900),
            st.sampled_from(["USD", "IDR", None]),
        )
        | st.builds(
            lambda version, refunds: order(
                "1", version=version, refunds=tuple(Refund(name, 300) for name in sorted(refunds))
            ),
            st.integers(1, 5),
            st.sets(st.sampled_from(["r", "s"])),
        ),
        min_size=1,
        max_size=8,
    ),
    seed=st.integers(0, 2**32),
)
def test_refunds_in_any_currencies_end_in_the_same_row_in_any_order(
    drawn: list[OrderEvent], seed: int
) -> None:
    once = state(drawn := distinct_versions(drawn))
    again = drawn + drawn[: len(drawn) // 2]
    random.Random(seed).shuffle(again)
    assert state(again) == once


def test_a_row_kept_before_refunds_had_a_currency_is_read_as_it_was_meant() -> None:
    row = state([order("1", total=1000, refunds=(Refund("r", 300),))])._replace(
        refunds='{"r":[300,0,1]}'
    )
    assert net(row) == 700
    refund = RefundCreated(shop=SHOP, order_id="1", refund=Refund("r", 300), currency="USD")
    again = fold(row, refund)
    assert net(again) == 700


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
        event = decode_order(
            Entry(Record("orders", "", str(offset), 0, headers, delivery.body), 0, offset), {}
        )
        if event is not None and not isinstance(event, CustomersMerged | Incomplete):
            rows[event.order_id] = fold(rows.get(event.order_id), event)
    expected = expected_orders(deliveries)
    assert len(expected) > 50
    assert {key: net(row) if counts(row) else 0 for key, row in rows.items()} == {
        key: one.net for key, one in expected.items()
    }
