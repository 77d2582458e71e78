"""`POST /pixel` over HTTP: what is kept, what is refused, and what it may cost."""

import json
from typing import Any

import pytest

from ingest.pixel.rates import PostRates, Rate, sender
from tests.support.api.receiving import SHOP, immediate_log, running

POST = {
    "shop": SHOP,
    "event": "checkout_completed",
    "checkout_token": "c0ffee00c0ffee00",
    "consent": {"marketing": True},
    "fbp": "fb.1.1795363100000.1234567890",
}


def text(**changed: Any) -> bytes:
    return json.dumps(POST | changed).encode()


async def test_a_browser_in_a_sandbox_may_post() -> None:
    asks = {
        "Origin": "null",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    async with running(immediate_log(), pixel=True) as receiver:
        preflight = await receiver.client.options("/pixel", headers=asks)
        assert preflight.status == 204
        assert preflight.headers["Access-Control-Allow-Origin"] == "*"
        assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
        assert preflight.headers["Access-Control-Allow-Headers"] == "Content-Type"
        answer = await receiver.client.post("/pixel", data=text(), headers={"Origin": "null"})
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_only_known_fields_of_a_known_form_reach_the_log() -> None:
    log = immediate_log()
    hostile = text(
        id=1,
        token="other-token",
        total_price="9999.00",
        line_items=[{"id": 1}],
        user_agent="line\r\nbreak",
        fbc={"a": 1},
        clicks={"fbclid": "IwAR0x", "email": "ada@example.com", "gclid": 7},
        consent={"marketing": "yes", "sale_of_data": False, "other": True},
        clicked_ms=True,
    )
    async with running(log, pixel=True) as receiver:
        assert (await receiver.client.post("/pixel", data=hostile)).status == 204
    (record,) = log.kept
    assert (record.topic, record.key) == ("checkouts", f"{SHOP}:c0ffee00c0ffee00")
    assert record.headers == {
        "source": "pixel",
        "topic": "pixel/checkout_completed",
        "shop": SHOP,
    }
    assert json.loads(record.body) == {
        "checkout_token": "c0ffee00c0ffee00",
        "fbp": POST["fbp"],
        "clicks": {"fbclid": "IwAR0x"},
        "consent": {"sale_of_data": False},
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"[" * 5_000,
        text(shop="stranger.myshopify.com"),
        text(shop=["x"]),
        text(event="orders/paid"),
        text(checkout_token=""),
        text(checkout_token="a\u0000b" * 5),
        text(checkout_token="x" * 129),
        text(checkout_token=5),
    ],
)
async def test_a_post_without_a_known_shop_event_and_token_is_refused(body: bytes) -> None:
    log = immediate_log()
    async with running(log, pixel=True) as receiver:
        answer = await receiver.client.post("/pixel", data=body)
        assert answer.status == 400
    assert log.kept == []


async def test_a_body_over_8_kb_is_refused() -> None:
    log = immediate_log()
    async with running(log, pixel=True) as receiver:
        answer = await receiver.client.post("/pixel", data=text(padding="x" * 9_000))
        assert answer.status == 413
        packed = await receiver.client.post(
            "/pixel", data=text(), headers={"Content-Encoding": "gzip"}
        )
        assert packed.status == 415
    assert log.kept == []


async def test_an_address_that_posts_too_much_is_limited_and_webhooks_are_not() -> None:
    log = immediate_log()
    async with running(log, pixel=True) as receiver:
        statuses = [
            (await receiver.client.post("/pixel", data=text(event_id=str(number)))).status
            for number in range(40)
        ]
        assert statuses == [204] * 30 + [429] * 10
        assert receiver.count("limited", sender="pixel") == 10
        assert await receiver.deliver(b'{"id":5}') == 200


async def test_without_a_shop_that_sends_to_meta_there_is_no_such_address() -> None:
    async with running(immediate_log()) as receiver:
        assert (await receiver.client.post("/pixel", data=text())).status == 404


def test_rates_refill_and_forget_no_more_than_they_may_remember() -> None:
    rates = PostRates(address=Rate(2, 1), shop=Rate(3, 1), most_addresses=100)
    assert [rates.address_allowed("192.0.2.1", 0) for _ in range(3)] == [True, True, False]
    assert rates.address_allowed("192.0.2.1", 1)
    assert not rates.address_allowed("192.0.2.1", 1)
    for number in range(10_000):
        rates.address_allowed(f"198.51.{number // 256}.{number % 256}", 2)
    assert rates.remembered == 100
    assert [rates.shop_allowed(SHOP, 0) for _ in range(4)] == [True, True, True, False]


def test_a_subscribers_ipv6_network_counts_as_one_address() -> None:
    rates = PostRates(address=Rate(1, 0))
    assert rates.address_allowed("2001:db8::1", 0)
    assert not rates.address_allowed("2001:db8::2", 0)
    assert rates.address_allowed("2001:db8:0:1::1", 0)


@pytest.mark.parametrize(
    ("peer", "forwarded", "proxies", "whose"),
    [
        ("203.0.113.9", "", 1, "203.0.113.9"),
        ("10.0.0.2", "198.51.100.7", 1, "198.51.100.7"),
        ("127.0.0.1", "1.1.1.1, 198.51.100.7", 1, "198.51.100.7"),
        ("127.0.0.1", "1.1.1.1, 198.51.100.7, 10.0.0.3", 2, "198.51.100.7"),
        ("8.8.8.8", "1.1.1.1", 1, "8.8.8.8"),
        ("127.0.0.1", "1.1.1.1", 0, "127.0.0.1"),
        ("127.0.0.1", "1.1.1.1", 5, "1.1.1.1"),
    ],
)
def test_the_sender_is_whom_the_first_of_our_proxies_saw(
    peer: str, forwarded: str, proxies: int, whose: str
) -> None:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    assert sender(peer, headers, proxies) == whose
