"""The simulated shop is the same for the same seed, tells what happened in signed webhooks, and its oracle finds back the shop's truth."""

import asyncio
import base64
import hashlib
import hmac
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import orjson
import pytest
from aiohttp import web
from hypothesis import example, given, settings
from hypothesis import strategies as st

from simulator.proof.oracle import expected_checkouts, expected_orders, purchase
from simulator.shop import traffic
from simulator.shop.delivery import Delivery
from simulator.shop.mangle import PARKED, REFUSED, Mangling, mangled
from simulator.shop.mix import Mix
from simulator.shop.people import person
from simulator.shop.sender import Sender
from simulator.shop.shop import ShopSimulator
from tests.support.golden import golden_json

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SHOP, SECRET = "demo.myshopify.com", "a shared secret"


def shop(
    seed: int = 1, *, customers: int = 200, currency: str = "USD", mix: Mix | None = None
) -> ShopSimulator:
    return ShopSimulator(seed, SHOP, SECRET, NOW, customers, currency=currency, mix=mix)


def visits(simulator: ShopSimulator, count: int) -> list[Delivery]:
    """Whole visits, so that nothing is told by half."""
    return [
        delivery for n in range(count) for delivery in simulator.visit(NOW + timedelta(seconds=n))
    ]


def mangle(
    deliveries: list[Delivery], seed: int = 1, mangling: Mangling | None = None
) -> list[Delivery]:
    return list(mangled(deliveries, shop=SHOP, secret=SECRET, seed=seed, mangling=mangling))


def test_the_same_seed_tells_the_same_story_byte_for_byte() -> None:
    def told(seed: int) -> tuple[list[Delivery], object]:
        simulator = shop(seed)
        return [*simulator.history(120), *visits(simulator, 200)], simulator.spend(30)

    assert told(7) == told(7)
    assert told(7) != told(8)


def test_every_delivery_is_signed_over_its_bytes_and_names_itself() -> None:
    deliveries = visits(shop(), 300)
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


def test_a_live_shop_tells_of_everything_that_can_happen() -> None:
    simulator = shop()
    deliveries = visits(simulator, 3000)
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
        orjson.loads(delivery.body)
        for delivery in visits(shop(), 1500)
        if delivery.topic == "orders/create"
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
        # Sparse fields that no code of ours reads, and those that stand for "there is none" by being absent.
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
        "current_shipping_price_set", "device_id", "duties_included", "estimated_taxes", "line_item_groups", "merchant_business_entity_id",
        "merchant_of_record_app_id", "original_total_additional_fees_set", "original_total_duties_set", "reference", "returns",
        "source_url", "total_cash_rounding_payment_adjustment_set", "total_cash_rounding_refund_adjustment_set",
    }  # fmt: skip
    body = orjson.loads(
        next(delivery.body for delivery in visits(shop(), 2000) if delivery.topic == topic)
    )
    assert documented - body.keys() - left_out - sparse == set()
    assert "checkout_id" not in body
    assert body.keys() - documented <= {
        "total_cash_rounding_payment_adjustment_set",
        "browser_ip",
    }


def test_an_orders_body_is_of_a_usual_size() -> None:
    sizes = [
        len(delivery.body) for delivery in visits(shop(), 800) if delivery.topic == "orders/create"
    ]
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


@settings(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    currency=st.sampled_from(["USD", "JPY", "KWD"]),
    after_edits=st.booleans(),
)
@example(
    seed=3_577, currency="USD", after_edits=True
)  # once added to an order whose money had all gone back before its goods had
def test_the_oracle_finds_the_shops_own_truth_in_any_order_of_arrival(
    seed: int, currency: str, after_edits: bool
) -> None:
    simulator = shop(seed, customers=60, currency=currency, mix=Mix(after_edits=after_edits))
    deliveries = [*simulator.history(200), *visits(simulator, 400)]
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
    deliveries = visits(simulator, 1500)
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
    orders = expected_orders([*simulator.history(100), *visits(simulator, 1500)])
    told = {
        verdict: [order for order in orders.values() if purchase(order, NOW) == verdict]
        for verdict in ("must", "may", "must_not")
    }
    assert all(order.paid and order.counted for order in told["must"])
    assert all(
        not order.ever_paid or order.test or NOW - order.processed_at > timedelta(days=7)
        for order in told["must_not"]
    )
    assert all(
        order.source_name != "web" or order.cancelled or order.financial_status == "refunded"
        for order in told["may"]
    )
    assert all(told.values())


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


def test_what_is_mangled_is_labelled_and_nothing_genuine_is_lost() -> None:
    deliveries = visits(shop(), 1500)
    arriving = mangle(deliveries, mangling=Mangling(broken=0.05))
    taken = {delivery.webhook_id for delivery in arriving if delivery.expected_status == 200}
    assert {delivery.webhook_id for delivery in deliveries} <= taken
    statuses: dict[str, set[int]] = {}
    for delivery in arriving:
        statuses.setdefault(delivery.kind, set()).add(delivery.expected_status)
    assert statuses == {
        "genuine": {200},
        "duplicate": {200},
        "retry": {200},
        "late": {200},
        "new_spelling": {200},
        "eighteen_digits": {200},
        "bad_signature": {401},
        "unknown_shop": {401},
        "malformed_json": {400},
        "unknown_topic": {200},
        "missing_id": {200},
        "malformed_timestamp": {200},
    }
    assert mangle(deliveries) == mangle(deliveries)


def test_broken_deliveries_are_broken_in_the_way_they_say() -> None:
    arriving = mangle(visits(shop(), 1500), mangling=Mangling(broken=0.1))
    for delivery in arriving:
        good = base64.b64encode(
            hmac.new(SECRET.encode(), delivery.body, hashlib.sha256).digest()
        ).decode()
        prefix = (
            "Shopify-"
            if delivery.kind == "new_spelling" or "Shopify-Topic" in delivery.headers
            else "X-Shopify-"
        )
        assert (delivery.headers[f"{prefix}Hmac-Sha256"] == good) == (
            delivery.kind != "bad_signature"
        )
        assert (delivery.headers[f"{prefix}Shop-Domain"] == SHOP) == (
            delivery.kind != "unknown_shop"
        )
        if delivery.kind == "malformed_json":
            with pytest.raises(orjson.JSONDecodeError):
                orjson.loads(delivery.body)
        if delivery.kind == "eighteen_digits":
            assert orjson.loads(delivery.body)["id"] > 1 << 53
    told = expected_orders(arriving)
    assert any(len(order_id) == 18 for order_id in told), "an order with a long id is an order"
    assert told == expected_orders(
        delivery for delivery in arriving if delivery.kind not in PARKED | REFUSED
    )


Handler = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def receiving(handler: Handler) -> AsyncIterator[str]:
    """A tiny receiver on loopback."""
    app = web.Application()
    app.router.add_post("/webhooks/shopify", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}/webhooks/shopify"
    finally:
        await runner.cleanup()


def checking(got: list[tuple[str, bytes]]) -> Handler:
    """Answers as the receiver must, having checked the signature."""

    async def handler(request: web.Request) -> web.Response:
        body = await request.read()
        headers = {
            name.lower().removeprefix("x-"): value for name, value in request.headers.items()
        }
        good = base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest()).decode()
        if headers["shopify-hmac-sha256"] != good or headers["shopify-shop-domain"] != SHOP:
            return web.Response(status=401)
        got.append((headers["shopify-webhook-id"], body))
        try:
            orjson.loads(body)
        except orjson.JSONDecodeError:
            return web.Response(status=400)
        return web.Response(text="")

    return handler


async def test_the_sender_posts_every_delivery_and_accounts_for_every_answer() -> None:
    deliveries = mangle(visits(shop(), 200), mangling=Mangling(broken=0.1))
    got: list[tuple[str, bytes]] = []
    heard: list[Delivery] = []
    async with receiving(checking(got)) as url:
        account = await Sender(url, deliveries, connections=4, acknowledged=heard.append).run()
    assert account.unexpected == []
    assert account.gave_up == []
    assert account.statuses == Counter(delivery.expected_status for delivery in deliveries)
    assert Counter(one.webhook_id for one in account.acknowledged) == Counter(
        d.webhook_id for d in deliveries if d.expected_status == 200
    )
    assert [one.webhook_id for one in account.acknowledged] == [
        delivery.webhook_id for delivery in heard
    ]
    assert dict(got).items() >= {
        (d.webhook_id, d.body) for d in deliveries if d.expected_status == 200
    }
    assert account.summary()["latency_ms"]["p99"] is not None


async def test_the_sender_tries_again_after_5xx_and_cut_connections_as_shopify_does() -> None:
    deliveries = visits(shop(), 20)
    seen: Counter[str] = Counter()

    async def failing(request: web.Request) -> web.Response:
        webhook_id = request.headers["X-Shopify-Webhook-Id"]
        seen[webhook_id] += 1
        if seen[webhook_id] == 1:
            return web.Response(status=503)
        if seen[webhook_id] == 2:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(text="")

    async with receiving(failing) as url:
        account = await Sender(url, deliveries, connections=3, retry_wait_s=(0.01, 0.01)).run()
    assert set(seen.values()) == {3}
    assert account.statuses == {503: len(deliveries), 0: len(deliveries), 200: len(deliveries)}
    assert len(account.acknowledged) == len(deliveries)


async def test_the_sender_gives_up_when_its_retries_are_over() -> None:
    deliveries = visits(shop(), 3)

    async def refusing(request: web.Request) -> web.Response:
        return web.Response(status=503)

    async with receiving(refusing) as url:
        account = await Sender(url, deliveries, retry_wait_s=(0.01,)).run()
    assert sorted(account.gave_up) == sorted(delivery.webhook_id for delivery in deliveries)
    assert account.sent == 2 * len(deliveries)


async def test_silence_is_cut_off_and_nobody_listening_is_no_error() -> None:
    async def silent(request: web.Request) -> web.Response:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    (delivery, *_) = visits(shop(), 1)
    async with receiving(silent) as url:
        account = await Sender(url, [delivery], timeout_s=0.05, retry_wait_s=()).run()
    assert account.statuses == {0: 1}
    account = await Sender(url, [delivery], retry_wait_s=()).run()
    assert account.gave_up == [delivery.webhook_id]


async def test_the_sender_keeps_its_rate_and_can_be_stopped() -> None:
    got: list[tuple[str, bytes]] = []
    sender: Sender

    def endless() -> Iterator[Delivery]:
        return shop().stream(NOW, 10)

    def count(_: Delivery) -> None:
        if len(got) >= 60:
            sender.stop()

    async with receiving(checking(got)) as url:
        sender = Sender(url, endless(), rate=200, acknowledged=count)
        account = await sender.run()
    assert 60 <= len(got) < 75
    assert len(account.acknowledged) / account.elapsed_s <= 280


async def test_traffic_in_its_own_process_writes_each_acknowledgement_and_can_be_planned_again(
    tmp_path: Path,
) -> None:
    acknowledged = tmp_path / "acknowledged"
    given = [
        "--shop",
        SHOP,
        "--secret",
        SECRET,
        "--now",
        NOW.isoformat(),
        "--count",
        "150",
        "--customers",
        "50",
        "--mangled",
    ]
    got: list[tuple[str, bytes]] = []
    async with receiving(checking(got)) as url:
        given = ["--url", url, *given, "--acknowledged", str(acknowledged)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "simulator.shop.traffic", *given, stdout=asyncio.subprocess.PIPE
        )
        told, _ = await process.communicate()
    assert process.returncode == 0
    assert orjson.loads(told)["unexpected"] == 0
    lines = [line.split("\t") for line in acknowledged.read_text().splitlines()]
    planned = list(traffic.plan(traffic.parser().parse_args(given)))
    assert len(planned) == 150
    assert Counter(line[0] for line in lines) == Counter(
        d.webhook_id for d in planned if d.expected_status == 200
    )
    assert {(line[1], line[2]) for line in lines} == {
        (d.topic, d.key) for d in planned if d.expected_status == 200
    }
