"""What was bought is the same in every state of a paid order, whatever became of it later."""

import json
from typing import Any, NamedTuple

import pytest

from destinations.meta.event.amounts import Amounts, CurrencySide
from destinations.meta.event.detail import detail
from processors.shopify import bought
from processors.shopify.raw_order import read_order
from processors.shopify.refunds import Side
from stream.money import Money

Json = dict[str, Any]


def usd(amount: float) -> Json:
    """An amount in dollars, and ten times as much in yen."""
    return {
        "shop_money": {"amount": f"{amount:.2f}", "currency_code": "USD"},
        "presentment_money": {"amount": f"{amount * 10:.0f}", "currency_code": "JPY"},
    }


def taken_off(number: int, line: int, worth: float, tax: float, **more: Any) -> Json:
    """A refund object that takes one unit of a line off."""
    lines = [
        {
            "line_item_id": line,
            "quantity": 1,
            "subtotal_set": usd(worth),
            "total_tax_set": usd(tax),
        }
    ]
    return {"id": number, "refund_line_items": lines, **more}


def paying(amount: float) -> list[Json]:
    return [
        {"kind": "refund", "status": "success", "amount": f"{amount * 10:.0f}", "currency": "JPY"}
    ]


def differing(amount: float) -> list[Json]:
    return [{"kind": "refund_discrepancy", "amount_set": usd(amount)}]


class State(NamedTuple):
    """An order of two lines of one unit: 60.00 and 40.00, tax on top of it 10 %."""

    current: float = 110.0
    units: tuple[int, int] = (1, 1)
    refunds: tuple[Json, ...] = ()

    def body(self, *, answer: bool = True) -> Json:
        """With the fields that Shopify updates; very old bodies lack them."""
        subtotal = self.current / 1.1
        lines = [
            {"id": 1, "variant_id": 11, "quantity": 1, "price_set": usd(60)},
            {"id": 2, "variant_id": 12, "quantity": 1, "price_set": usd(40)},
        ]
        body: Json = {
            "currency": "USD",
            "total_price_set": usd(110),
            "subtotal_price_set": usd(100),
            "total_tax_set": usd(10),
            "line_items": lines,
            "refunds": self.refunds,
        }
        if answer:
            body |= {
                "current_total_price_set": usd(self.current),
                "current_subtotal_price_set": usd(subtotal),
                "current_total_tax_set": usd(self.current - subtotal),
            }
            for line, units in zip(lines, self.units, strict=True):
                line["current_quantity"] = units
        return body


EDITED = taken_off(1, 2, 40, 4)
"""Line 2 goes before it was paid: no money, and none owed."""
BACK = taken_off(2, 2, 40, 4, transactions=paying(44))
OWED = taken_off(3, 2, 40, 4, order_adjustments=differing(44))
LATER = {"id": 4, "transactions": paying(44), "order_adjustments": differing(-44)}
GESTURE = {"id": 5, "transactions": paying(7), "order_adjustments": differing(-7)}
FEE_KEPT = taken_off(6, 2, 40, 4, transactions=paying(39), order_adjustments=differing(5))
REST = taken_off(7, 1, 60, 6, transactions=paying(66))

WHOLE, FIRST = (110.0, (1, 1)), (66.0, (1, 0))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (State(), WHOLE),
        (State(66, (1, 0)), FIRST),
        (State(66, (1, 0), (EDITED,)), FIRST),
        (State(154, (1, 2)), (154.0, (1, 2))),
        (State(66, (1, 0), (BACK,)), WHOLE),
        (State(66, (1, 0), (OWED,)), WHOLE),
        (State(66, (1, 0), (OWED, LATER)), WHOLE),
        (State(66, (1, 0), (FEE_KEPT,)), WHOLE),
        (State(110, (1, 1), (GESTURE,)), WHOLE),
        (State(66, (1, 0), (EDITED, GESTURE)), FIRST),
        (State(0, (0, 0), (EDITED, REST)), FIRST),
        (State(0, (0, 0), (BACK, REST)), WHOLE),
    ],
    ids=[
        "as ordered", "edited down", "edited down, as a refund object", "edited up", "returned",
        "goods back, money owed", "goods back, money later", "returned, a fee kept", "money alone",
        "edited down, then money alone", "edited down, then all returned", "all returned",
    ],
)  # fmt: skip
@pytest.mark.parametrize("side", ["shop", "presentment"])
def test_edits_count_and_refunds_do_not(
    state: State, expected: tuple[float, tuple[int, int]], side: CurrencySide
) -> None:
    total, units = expected
    scale = 100 if side == "shop" else 10
    raw = read_order(json.dumps(state.body()).encode())
    amounts = Amounts(raw)
    read = (amounts.total(side), amounts.subtotal(side), amounts.tax(side))
    whole, subtotal, tax = (0 if money is None else money.units for money in read)
    assert whole == round(total * scale)
    assert subtotal == pytest.approx(total * scale / 1.1, abs=1)
    assert tax == pytest.approx(total * scale / 11, abs=1)
    assert tuple(item.quantity for item in detail(raw, side).items) == units


@pytest.mark.parametrize(
    ("refunds", "expected"), [((), WHOLE), ((EDITED,), FIRST), ((BACK,), WHOLE), ((OWED,), WHOLE)]
)
def test_a_body_without_current_totals_says_the_same(
    refunds: tuple[Json, ...], expected: tuple[float, tuple[int, int]]
) -> None:
    body = State(refunds=refunds).body(answer=False)
    raw = read_order(json.dumps(body).encode())
    assert Amounts(raw).total("shop") == Money(round(expected[0] * 100), "USD")
    assert tuple(item.quantity for item in detail(raw).items) == expected[1]


def test_taxes_are_taken_off_once_where_prices_hold_them() -> None:
    body = State(66, (1, 0), (taken_off(2, 2, 44, 4, transactions=paying(44)),)).body()
    raw = read_order(json.dumps({**body, "taxes_included": True}).encode())
    assert Amounts(raw).total("shop") == Money(11_000, "USD")


def test_what_cannot_be_read_takes_nothing_off() -> None:
    odd = {"id": 9, "refund_line_items": [{"subtotal_set": {"shop_money": {"amount": "much"}}}]}
    assert bought.taken([odd], Side("shop_money", "USD"), taxes_included=False).total == 0
    assert bought.units([odd, {"refund_line_items": [{"line_item_id": 1, "quantity": "2"}]}]) == {}
    assert not bought.gave_money({"order_adjustments": [{"amount_set": usd(0)}]}, "USD")
    unknown = [{"kind": "refund", "status": "success", "amount": "5", "currency": "pesos"}]
    assert bought.gave_money({"transactions": unknown}, "USD")
