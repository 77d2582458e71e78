"""Checkouts and carts, and the currency that they count in."""

from typing import Any

import pytest

from processors.shopify.checkouts import Cart, Checkout, CheckoutDeleted, decode_checkout
from processors.shopify.tolerance import Rejected
from tests.processors.shopify.bodies import NOON, ORDER, entry


@pytest.mark.parametrize(("cart_token", "expected"), [("c1", "c1"), (None, "c2"), ("", "c2")])
def test_the_cart_of_a_checkout_is_also_known_by_its_recovery_url(
    cart_token: str | None, expected: str
) -> None:
    answer = {
        "token": "t",
        "cart_token": cart_token,
        "created_at": ORDER["created_at"],
        "currency": "USD",
        "presentment_currency": "USD",
        "total_price": "1.00",
    }
    url = "https://shop.example/42/checkouts/ac/c2/recover?key=k"
    event = decode_checkout(entry("checkouts/create", answer | {"abandoned_checkout_url": url}))
    assert isinstance(event, Checkout)
    assert event.cart_token == expected
    old = decode_checkout(
        entry(
            "checkouts/create",
            answer
            | {"abandoned_checkout_url": "https://shop.example/42/checkouts/t/recover?key=k"},
        )
    )
    assert isinstance(old, Checkout)
    assert old.cart_token == (cart_token or None)


def test_a_checkout_without_fields_of_its_subscription_is_parked_with_their_names() -> None:
    with pytest.raises(Rejected) as caught:
        decode_checkout(entry("checkouts/update", {"token": "t", "currency": "USD"}))
    assert caught.value.reason == "missing_fields:created_at,total_price"


def test_a_checkouts_topic_whose_body_is_no_checkout_is_ignored() -> None:
    assert decode_checkout(entry("checkouts/next", {"id": 1, "status": "open"})) is None


def test_checkouts_and_carts() -> None:
    body = {
        "token": "t",
        "created_at": "2026-11-22T10:00:00+00:00",
        "updated_at": "2026-11-22T11:00:00+01:00",
        "currency": "EUR",
        "presentment_currency": "EUR",
        "total_price": "10.00",
        "shipping_address": [],
    }
    event = decode_checkout(entry("checkouts/update", body))
    assert isinstance(event, Checkout)
    assert (event.token, event.total, event.completed_at, event.has_contact) == (
        "t",
        1000,
        None,
        False,
    )
    gone = decode_checkout(entry("checkouts/delete", {"id": 1, "cart_token": "c"}))
    assert isinstance(gone, CheckoutDeleted)
    assert (gone.token, gone.cart_token) == (None, "c")
    cart = decode_checkout(
        entry(
            "carts/update",
            {"id": "c", "updated_at": "2026-11-22T11:00:00.123Z", "line_items": [{}]},
        )
    )
    assert isinstance(cart, Cart)
    assert (cart.token, cart.items) == ("c", 1)


def foreign(**changes: Any) -> Checkout:
    """A checkout of 15,000 yen in a shop that counts in dollars."""
    body = {
        "token": "t",
        "created_at": NOON,
        "currency": "USD",
        "presentment_currency": "JPY",
        "total_price": "15000",
    }
    event = decode_checkout(entry("checkouts/create", {**body, **changes}))
    assert isinstance(event, Checkout)
    return event


def test_the_prices_of_a_checkout_are_in_the_buyer_s_currency() -> None:
    assert (foreign().total, foreign().currency) == (15_000, "JPY")
    cents = foreign(presentment_currency="KWD", total_price="15.125")
    assert (cents.total, cents.currency) == (15_125, "KWD")


@pytest.mark.parametrize("code", ["usd", "USD"])
def test_a_checkout_in_the_shop_s_currency_counts_in_it(code: str) -> None:
    event = foreign(presentment_currency=code, total_price="150.00")
    assert (event.total, event.currency) == (15_000, "USD")


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_checkout_that_does_not_say_its_currency_is_worth_nothing_known(
    nothing: str | None,
) -> None:
    """It was taken for shop money before: 15,000 yen for 15,000 dollars."""
    event = foreign(presentment_currency=nothing)
    assert (event.total, event.currency, event.shop_currency) == (0, "XXX", "USD")


def test_a_checkout_that_shows_shop_money_counts_in_it() -> None:
    both = {"shop_money": {"amount": "99.50", "currency_code": "USD"}}
    assert (foreign(total_price_set=both).total, foreign(total_price_set=both).currency) == (
        9950,
        "USD",
    )
