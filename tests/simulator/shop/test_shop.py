"""The simulated shop is the same for the same seed, and sends what happened as signed webhooks."""

import base64
import hashlib
import hmac
from collections import Counter
from functools import cache
from itertools import islice
from zoneinfo import ZoneInfo

import orjson
import pytest

from simulator.proof.oracle import expected_checkouts, expected_orders
from simulator.shop import traffic
from simulator.shop.catalogue import CAMPAIGNS
from simulator.shop.delivery import Delivery
from simulator.shop.mix import Mix
from simulator.shop.people import person
from tests.support.shopify.golden import golden_json
from tests.support.shops.simulated_shop import NOW, SECRET, SHOP, shop, visits


@cache
def lived() -> tuple[Delivery, ...]:
    """What 1,000 visits send; made once, since each test of it only reads."""
    return tuple(visits(shop(), 1_000))


def test_the_same_seed_makes_the_same_shop_byte_for_byte() -> None:
    def answer(seed: int) -> tuple[list[Delivery], object]:
        simulator = shop(seed)
        return [*simulator.history(120), *visits(simulator, 200)], simulator.spend(30)

    assert answer(7) == answer(7)
    assert answer(7) != answer(8)


def test_every_delivery_is_signed_over_its_bytes_and_names_itself() -> None:
    deliveries = lived()[:1_000]
    for delivery in deliveries:
        expected = base64.b64encode(
            hmac.new(SECRET.encode(), delivery.body, hashlib.sha256).digest()
        ).decode()
        assert delivery.headers["X-Shopify-Hmac-Sha256"] == expected
        assert delivery.headers["X-Shopify-Topic"] == delivery.topic
        assert delivery.headers["X-Shopify-Shop-Domain"] == SHOP
        assert delivery.headers["X-Shopify-API-Version"] == "2026-10"
    assert len({delivery.webhook_id for delivery in deliveries}) == len(deliveries)
    assert len({delivery.event_id for delivery in deliveries}) < len(deliveries), (
        "one action causes several deliveries"
    )


def test_a_live_shop_does_everything_that_can_happen() -> None:
    deliveries = lived()
    assert set(Counter(delivery.topic for delivery in deliveries)) == {
        "carts/create",
        "carts/update",
        "checkouts/create",
        "checkouts/update",
        "orders/create",
        "orders/paid",
        "orders/updated",
        "orders/fulfilled",
        "orders/cancelled",
        "orders/edited",
        "refunds/create",
    }
    orders = expected_orders(deliveries).values()
    assert {order.source_name for order in orders} == {"web", "pos", "shopify_draft_order"}
    assert {order.financial_status for order in orders} == {
        "paid",
        "pending",
        "voided",
        "refunded",
        "partially_refunded",
    }
    assert any(order.test for order in orders)
    assert any(order.customer_id is None and order.email_sha256 for order in orders), "guests"
    assert any(order.customer_id is None and order.email_sha256 is None for order in orders), (
        "drafts and walk-ins"
    )
    checkouts = expected_checkouts(deliveries).values()
    assert 0.2 < sum(checkout.completed for checkout in checkouts) / len(checkouts) < 0.9


def test_visits_bring_utm_click_ids_cookies_and_unreadable_landing_sites() -> None:
    bodies = [
        orjson.loads(delivery.body) for delivery in lived() if delivery.topic == "orders/create"
    ]
    web_orders = [body for body in bodies if body["source_name"] == "web"]
    sites = [body["landing_site"] for body in web_orders]
    for part in (
        "utm_campaign=Summer",
        "utm_id=1200001",
        "fbclid=IwAR",
        "gclid=",
        "utm_source=tiktok",
        "/wallets/checkouts.json",
    ):
        assert any(site and part in site for site in sites), part
    assert None in sites
    attributes = {one["name"] for body in web_orders for one in body["note_attributes"]}
    assert attributes == {"_fbp", "_fbc"}
    assert {body["presentment_currency"] for body in web_orders} > {"USD", "EUR"}
    assert {body["billing_address"]["country_code"] for body in web_orders} >= {
        "US",
        "GB",
        "FR",
        "DE",
    }


def test_all_people_are_fictional() -> None:
    for number in range(500):
        one = person(1, number)
        assert one.email.partition("@")[2] in {"example.com", "example.org", "example.net"}
        assert one.phone is None or any(
            part in one.phone for part in ("555-01", "7946 0", "01 99 00", "30 23125", "0491 570")
        )


@pytest.mark.parametrize(
    ("topic", "left_out"),
    [
        # Sparse fields that no code of ours reads, and those that stand for "there is none" by
        # being absent.
        (
            "orders/create",
            {
                "contact_email",
                "order_status_url",
                "billing_address",
                "shipping_address",
                "customer",
            },
        ),
        (
            "checkouts/create",
            {
                "billing_address",
                "customer",
                "buyer_accepts_sms_marketing",
                "sms_marketing_phone",
                "reservation_token",
            },
        ),
        ("carts/create", set[str]()),
        ("refunds/create", {"total_duties_set"}),
        ("orders/edited", set[str]()),
    ],
)
def test_bodies_have_the_keys_that_shopify_documents(topic: str, left_out: set[str]) -> None:
    documented = set(golden_json("shopify_keys.json")[topic])
    sparse = {
        "current_shipping_price_set",
        "device_id",
        "duties_included",
        "estimated_taxes",
        "line_item_groups",
        "merchant_business_entity_id",
        "merchant_of_record_app_id",
        "original_total_additional_fees_set",
        "original_total_duties_set",
        "reference",
        "returns",
        "source_url",
        "total_cash_rounding_payment_adjustment_set",
        "total_cash_rounding_refund_adjustment_set",
    }
    body = orjson.loads(next(delivery.body for delivery in lived() if delivery.topic == topic))
    assert documented - body.keys() - left_out - sparse == set()
    assert "checkout_id" not in body
    assert body.keys() - documented <= {
        "total_cash_rounding_payment_adjustment_set",
        "browser_ip",
    }


def test_an_orders_body_is_of_a_usual_size() -> None:
    sizes = [len(delivery.body) for delivery in lived() if delivery.topic == "orders/create"]
    assert 4_000 < sum(sizes) / len(sizes) < 8_000


def test_history_reaches_back_in_the_shops_own_offset() -> None:
    simulator = shop(customers=400)
    deliveries = list(simulator.history(400))
    orders = expected_orders(deliveries)
    days = [order.day for order in orders.values()]
    assert (NOW.date() - min(days)).days > 380
    assert max(days) <= NOW.date()
    per_customer = Counter(order.customer_id for order in orders.values() if order.customer_id)
    assert max(per_customer.values()) >= 8, "some buy often"
    assert sum(count == 1 for count in per_customer.values()) > len(per_customer) * 0.2, (
        "many buy once"
    )
    for order in orders.values():
        assert (
            order.processed_at.utcoffset()
            == order.processed_at.astimezone(ZoneInfo("Europe/Paris")).utcoffset()
        )
    assert any(not checkout.completed for checkout in expected_checkouts(deliveries).values())


def test_spend_has_a_row_per_campaign_and_day_up_to_today() -> None:
    simulator = shop(customers=400)
    list(simulator.history(90))
    rows = simulator.spend(30)
    assert len(rows) == len({(row["campaign_id"], row["date"]) for row in rows}) == 5 * 30
    assert max(row["date"] for row in rows) == "2026-11-22"
    assert {row["channel"] for row in rows} == {"meta", "google", "tiktok"}
    assert all(
        float(row["spend"]) > 0 and row["currency"] == "USD" and row["time_zone"] == "Europe/Paris"
        for row in rows
    )


def test_spend_follows_live_sales_so_that_roas_stays_where_it_was() -> None:
    simulator = shop(customers=400)
    list(simulator.history(90))
    quiet = {row["campaign_id"]: row for row in simulator.spend(1)}
    visits(simulator, 400)
    busy = {row["campaign_id"]: row for row in simulator.spend(1)}
    assert simulator.spend(1) == list(busy.values())
    for campaign in CAMPAIGNS:
        before, after = quiet[campaign.campaign_id], busy[campaign.campaign_id]
        sold = after["platform_orders"] - before["platform_orders"]
        assert sold > 0
        spent = float(after["spend"]) - float(before["spend"])
        assert spent > 0
    revenue = sum(float(row["platform_revenue"]) for row in busy.values())
    roas = revenue / sum(float(row["spend"]) for row in busy.values())
    assert 1 < roas < 4, "the mean of the campaigns' own is 2.1"


def test_orders_only_is_one_paid_order_per_visit() -> None:
    deliveries = visits(shop(mix=Mix.orders_only()), 50)
    assert [delivery.topic for delivery in deliveries] == ["orders/create"] * 50
    assert all(
        order.paid and order.source_name == "web" for order in expected_orders(deliveries).values()
    )


def test_laps_are_new_orders_each_time_and_signed() -> None:
    first = visits(shop(mix=Mix.orders_only()), 10)
    deliveries = list(islice(traffic.laps(first, shop=SHOP, secret=SECRET.encode()), 45))
    assert deliveries[:10] == first
    assert len(expected_orders(deliveries)) == 45
    assert len({order.checkout_token for order in expected_orders(deliveries).values()}) == 45
    assert len({delivery.webhook_id for delivery in deliveries}) == 45
    for delivery in deliveries:
        expected = base64.b64encode(
            hmac.new(SECRET.encode(), delivery.body, hashlib.sha256).digest()
        ).decode()
        assert delivery.headers["X-Shopify-Hmac-Sha256"] == expected
