"""The sender posts as Shopify does: again after failures, at its rate; traffic runs it in a
process."""

import asyncio
import base64
import hashlib
import hmac
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
from aiohttp import web

from simulator.shop import traffic
from simulator.shop.delivery import Delivery
from simulator.shop.mangle import Mangling
from simulator.shop.sender import ShopSender
from tests.support.shops.simulated_shop import NOW, SECRET, SHOP, mangle, shop, visits

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
        account = await ShopSender(url, deliveries, connections=4, acknowledged=heard.append).run()
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
        account = await ShopSender(url, deliveries, connections=3, retry_wait_s=(0.01, 0.01)).run()
    assert set(seen.values()) == {3}
    assert account.statuses == {503: len(deliveries), 0: len(deliveries), 200: len(deliveries)}
    assert len(account.acknowledged) == len(deliveries)


async def test_the_sender_gives_up_when_its_retries_are_over() -> None:
    deliveries = visits(shop(), 3)

    async def refusing(request: web.Request) -> web.Response:
        return web.Response(status=503)

    async with receiving(refusing) as url:
        account = await ShopSender(url, deliveries, retry_wait_s=(0.01,)).run()
    assert sorted(account.gave_up) == sorted(delivery.webhook_id for delivery in deliveries)
    assert account.sent == 2 * len(deliveries)


async def test_silence_is_cut_off_and_nobody_listening_is_no_error() -> None:
    async def silent(request: web.Request) -> web.Response:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    (delivery, *_) = visits(shop(), 1)
    async with receiving(silent) as url:
        account = await ShopSender(url, [delivery], timeout_s=0.05, retry_wait_s=()).run()
    assert account.statuses == {0: 1}
    account = await ShopSender(url, [delivery], retry_wait_s=()).run()
    assert account.gave_up == [delivery.webhook_id]


async def test_the_sender_keeps_its_rate_and_can_be_stopped() -> None:
    got: list[tuple[str, bytes]] = []
    sender: ShopSender

    def endless() -> Iterator[Delivery]:
        return shop().stream(NOW, 10)

    def count(_: Delivery) -> None:
        if len(got) >= 60:
            sender.stop()

    async with receiving(checking(got)) as url:
        sender = ShopSender(url, endless(), rate=200, acknowledged=count)
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
        answer, _ = await process.communicate()
    assert process.returncode == 0
    assert orjson.loads(answer)["unexpected"] == 0
    lines = [line.split("\t") for line in acknowledged.read_text().splitlines()]
    planned = list(traffic.plan(traffic.parser().parse_args(given)))
    assert len(planned) == 150
    assert Counter(line[0] for line in lines) == Counter(
        d.webhook_id for d in planned if d.expected_status == 200
    )
    assert {(line[1], line[2]) for line in lines} == {
        (d.topic, d.key) for d in planned if d.expected_status == 200
    }
