"""The dashboard of a running `orderwire demo`, in Chromium: it shows the numbers of the API,
follows each webhook within two seconds, retries what Meta refused, and asks nobody else."""

import asyncio
import json
import re
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import aiohttp

from simulator.demo.run import CHECKOUT_DAYS, DemoOptions
from simulator.demo.stage import SHOP, ZONE
from simulator.shop.delivery import Delivery
from simulator.shop.mix import Mix
from simulator.shop.shop import ShopSimulator
from tests.support.api.panels import expected, not_shown, shown
from tests.support.delivery.browser import browsing, needs_chromium
from tests.support.servers.demo_process import demo, on_linux

if TYPE_CHECKING:
    from playwright.async_api import Page

Json = dict[str, Any]
CUSTOMERS = 400
RATE = "0.1"
"""So few webhooks a second that numbers stand still between two of them."""
ORDERS = 6
WITHIN_S = 2.0
FIRST_PAINT_MS, LOADS = 300, 12
PATIENCE_S = 60.0
FOLLOW = """() => {
  window.loadedOnce = true;
  window.counted = [];
  window.stalled = 0;
  let ticked = performance.now();
  setInterval(() => {
    const now = performance.now();
    window.stalled += Math.max(0, now - ticked - 50);
    ticked = now;
    const names = [...document.querySelectorAll("#today dt")];
    const text = names.find((each) => each.textContent === "Orders")?.nextSibling.firstChild.data;
    const orders = Number((text ?? "0").replaceAll(",", ""));
    if (orders !== window.counted.at(-1)?.orders) window.counted.push({ orders, at: Date.now() });
  }, 20);
}"""
"""Notes when the page shows which number of today's orders, and for how long the browser was kept
from its work in all: a timer of 20 ms came so much too late."""


@dataclass(frozen=True)
class Demo:
    """The addresses of a running demo, and what its shop signs with."""

    http: aiohttp.ClientSession
    api: str
    webhooks: str
    graph: str
    secret: str

    async def answer(self, path: str) -> Json:
        async with self.http.get(self.api + path) as answer:
            assert answer.status == 200, path
            found: Json = await answer.json(content_type=None)
            return found

    async def send(self, delivery: Delivery) -> None:
        async with self.http.post(
            self.webhooks, data=delivery.body, headers=delivery.headers
        ) as answer:
            assert answer.status == 200

    async def orders_today(self) -> int:
        total = (await self.answer(f"/v1/days?from={self.today}&to={self.today}"))["total"]
        return int(total["orders"]) if total else 0

    async def has(self, orders: int) -> bool:
        return await self.orders_today() >= orders

    @property
    def today(self) -> str:
        return datetime.now(ZoneInfo(ZONE)).date().isoformat()


def new_order(buyers: ShopSimulator) -> tuple[Json, Delivery]:
    """An order of now, and the webhook of it."""
    delivery = buyers.visit(datetime.now(UTC))[0]
    return json.loads(delivery.body), delivery


def running(http: aiohttp.ClientSession, printed: str, folder: Path) -> Demo:
    """From what the demo has printed, and the settings in its folder."""
    found = re.search(r"(http://127\.0\.0\.1:\d+)/v1/", printed)
    webhooks = re.search(r"curl -i (http://\S+/webhooks/shopify)", printed)
    assert found is not None, printed
    assert webhooks is not None, printed
    (settings,) = folder.glob("orderwire-demo-*/.env")
    lines = settings.read_text().splitlines()
    written = dict(line.split("=", 1) for line in lines)
    return Demo(
        http, found[1], webhooks[1], written["META_GRAPH_URL"], written["SHOPIFY_WEBHOOK_SECRET"]
    )


def orders_of(seed: int, day: str) -> int:
    """Orders that the history of a demo has on a day of the shop, the hours around midnight left
    out: the demo starts some seconds later."""
    zone = ZoneInfo(ZONE)
    shop = ShopSimulator(seed, SHOP, "", datetime.now(UTC), CUSTOMERS, zone=zone)
    history = shop.history(DemoOptions().history_days, checkout_days=CHECKOUT_DAYS)
    made = [
        datetime.fromisoformat(json.loads(each.body)["created_at"]).astimezone(zone)
        for each in history
        if each.topic == "orders/create"
    ]
    return sum(each.date().isoformat() == day and 1 <= each.hour < 23 for each in made)


async def eventually(true: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not await true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


@on_linux
@needs_chromium
async def test_the_demo_s_dashboard_shows_the_api_s_numbers_and_follows_each_webhook(
    tmp_path: Path,
) -> None:
    yesterday = (datetime.now(ZoneInfo(ZONE)).date() - timedelta(days=1)).isoformat()
    seed, ordered = next((s, n) for s in count(1) if (n := orders_of(s, yesterday)))
    shop = ("--customers", f"{CUSTOMERS}", "--rate", RATE, "--seed", f"{seed}")
    async with demo(tmp_path, *shop) as process, aiohttp.ClientSession() as http:
        there = running(http, await process.until(f"live, {RATE}"), tmp_path)
        statement = await there.answer(f"/v1/statement?day={yesterday}")
        assert sum(item["shopify"]["orders"] for item in statement["items"]) >= ordered
        buyers = ShopSimulator(
            seed + 900, SHOP, there.secret, datetime.now(UTC), 50, mix=Mix.orders_only()
        )
        async with browsing(there.api) as watched:
            page = watched.page
            for width, scheme in ((390, "dark"), (1440, "light")):
                await page.set_viewport_size({"width": width, "height": 900})
                await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                await page.goto(watched.origin)
                await shown(page)
                await the_panels_show_what_the_api_says(there, page)
                assert await page.evaluate("document.documentElement.scrollWidth") <= width
            await each_order_shows_within_two_seconds(there, page, buyers)
            await a_refused_event_is_retried(there, page, buyers)
            assert await page.evaluate("window.loadedOnce"), "the page was not loaded again"
            await the_first_paint_comes_soon(page, watched.origin)
            assert watched.complaints == []
            assert watched.elsewhere == []
        process.send_signal(signal.SIGTERM)
        printed = await process.rest()
    assert process.returncode == 0, printed


async def the_panels_show_what_the_api_says(there: Demo, page: "Page") -> None:
    """Once at least: numbers may change between an answer and the page."""
    deadline = time.monotonic() + PATIENCE_S
    while missing := await not_shown(page, await expected(there.answer)):
        assert time.monotonic() < deadline, missing
        await asyncio.sleep(0.2)


async def each_order_shows_within_two_seconds(
    there: Demo, page: "Page", buyers: ShopSimulator
) -> None:
    """The page shows an order two seconds at most after the API has it, each time, and two seconds
    after its webhook in the median. What a busy machine takes is not the page's: twice the slowest
    answer meanwhile, since the panel asks twice, and the time for which the browser stood still."""
    await page.evaluate(FOLLOW)
    late_s, took_s = [], []
    for _ in range(ORDERS):
        wanted = await there.orders_today() + 1
        body, delivery = new_order(buyers)
        began, answers_s = time.time(), list[float]()
        stalled_ms = await page.evaluate("window.stalled")
        await there.send(delivery)
        await eventually(partial(there.has, wanted))
        counted = time.time()
        asking = asyncio.create_task(durations(there, answers_s))
        await page.wait_for_selector(f"#today >> text={body['name']}")
        at_ms = await (
            await page.wait_for_function(
                "wanted => window.counted.find((each) => each.orders >= wanted)?.at", arg=wanted
            )
        ).json_value()
        asking.cancel()
        stalled_ms = await page.evaluate("window.stalled") - stalled_ms
        late_s.append(at_ms / 1000 - counted - 2 * max(answers_s, default=0.0) - stalled_ms / 1000)
        took_s.append(at_ms / 1000 - began)
    assert max(late_s) <= WITHIN_S, (late_s, took_s)
    assert median(took_s) <= WITHIN_S, (late_s, took_s)


async def durations(there: Demo, answers_s: list[float]) -> None:
    """Note how long answers take, until cancelled."""
    while True:
        began = time.monotonic()
        await there.orders_today()
        answers_s.append(time.monotonic() - began)
        await asyncio.sleep(0.1)


async def a_refused_event_is_retried(there: Demo, page: "Page", buyers: ShopSimulator) -> None:
    body, delivery = new_order(buyers)
    path = f"/v1/capi/orders/{body['id']}"
    async with there.http.post(f"{there.graph}/refuse/{body['id']}") as answer:
        assert answer.status == 204
    await there.send(delivery)
    await page.wait_for_selector("#working >> text=Retry 1")
    assert (await there.answer(path))["outcome"] == "dead"
    await page.click("#working >> text=Retry 1")
    await page.wait_for_selector("#working button", state="detached")

    async def is_sent() -> bool:
        return str((await there.answer(path))["outcome"]) == "sent"

    await eventually(is_sent)


async def the_first_paint_comes_soon(page: "Page", origin: str) -> None:
    """The quickest of some loads counts. Where the machine is so busy that a page of one line takes
    more than half of the time, as long as two such pages."""
    ours_ms, bare_ms = float("inf"), float("inf")
    for _ in range(LOADS):
        ours_ms = min(ours_ms, await first_paint_ms(page, f"{origin}/"))
        if ours_ms < FIRST_PAINT_MS:
            return
        bare_ms = min(bare_ms, await first_paint_ms(page, f"{origin}/healthz"))
    assert ours_ms < 2 * bare_ms


async def first_paint_ms(page: "Page", url: str) -> float:
    """Load a page; from the request to the first that shows."""
    await page.goto(url)
    entry = await page.wait_for_function(
        "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
    )
    return float(await entry.json_value())
