"""The dashboard in a real browser: it shows the numbers of the API, updates itself, and asks nobody
else."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from axe_playwright_python.async_playwright import Axe

from destinations.delivery.rows import CELLS
from stream.log.sqlite.log import SqliteLog
from stream.store.sql.store import SqlStore
from tests.support.api.api_client import Api, fold, serving
from tests.support.api.api_shop import fill
from tests.support.delivery import capi_orders
from tests.support.delivery.browser import browsing, needs_chromium
from tests.support.shopify.orders import SHOP, order

pytestmark = [
    needs_chromium,
    pytest.mark.parametrize("store_url", ["sqlite"], indirect=True),
]
PANELS = ("working", "today", "signals", "customers", "carts", "budget")


@pytest.fixture
async def api(store: SqlStore, log: SqliteLog) -> AsyncIterator[Api]:
    fill(store)
    async with serving(store, log, refresh_s=0.2) as running:
        yield running


def origin(api: Api) -> str:
    return str(api.client.make_url("/")).rstrip("/")


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (390, True)])
async def test_every_panel_shows_its_numbers_and_nothing_is_wrong(
    api: Api, width: int, dark: bool
) -> None:
    rfm, carts, capi = [await api.answer(path) for path in ("/v1/rfm", "/v1/carts", "/v1/capi")]
    async with browsing(origin(api), width=width, dark=dark) as watched:
        page = watched.page
        await page.goto(watched.origin)
        for panel in PANELS:
            await page.wait_for_selector(f"#{panel}[aria-busy=false]")
        customers = await page.inner_text("#customers .figures")
        assert f"of {rfm['customers']['ever']:,} ever" in customers
        await page.wait_for_selector("#carts >> text=Still to recover")
        assert str(carts["recovery_potential"]["open_carts"]) in await page.inner_text("#carts")
        assert f"{capi['match_keys']['em'] * 100:.0f} %" in await page.inner_text("#signals")
        assert "3" in await page.inner_text("#working .figures")
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        await page.evaluate(
            "document.querySelectorAll('.chart').forEach((chart) => chart.scrollIntoView())"
        )
        found = await Axe().run(page)
    grave = [
        (each["id"], [node["html"][:120] for node in each["nodes"]])
        for each in found.response["violations"]
        if each["impact"] in ("serious", "critical")
    ]
    assert grave == []
    assert watched.complaints == []
    assert watched.elsewhere == []


async def test_a_box_of_the_map_lists_its_customers(api: Api) -> None:
    async with browsing(origin(api)) as watched:
        page = watched.page
        await page.goto(watched.origin)
        await page.click("#customers .heat button >> nth=0")
        await page.wait_for_selector("#customers >> text=Customers of the segment")
    assert watched.complaints == []


async def test_a_new_order_shows_without_a_reload(
    api: Api, store: SqlStore, log: SqliteLog
) -> None:
    async with browsing(origin(api)) as watched:
        page = watched.page
        await page.goto(watched.origin)
        await page.wait_for_selector("#customers[aria-busy=false]")
        before = (await api.answer("/v1/rfm"))["customers"]["ever"]
        await log.append([capi_orders.record(capi_orders.body(4711))])
        await asyncio.to_thread(fold, store, [[order("9001", customer="a new one")]])
        await page.wait_for_selector(f"#customers >> text=of {before + 1:,} ever")
        await page.wait_for_selector("#today >> text=4711")
    assert watched.complaints == []


async def test_dead_events_are_retried_by_a_button(api: Api, store: SqlStore) -> None:
    with store.begin() as transaction:
        transaction.execute(
            "UPDATE outbox SET outcome = 'dead', due_ms = NULL, reason = 'refused' WHERE shop = :s",
            s=SHOP,
        )
        transaction.add(
            CELLS,
            {(SHOP, "meta", "outcome", "pending"): (-1,), (SHOP, "meta", "outcome", "dead"): (1,)},
        )
    async with browsing(origin(api)) as watched:
        page = watched.page
        await page.goto(watched.origin)
        await page.click("#working >> text=Retry 1")
        await page.wait_for_selector("#working button", state="detached")
    assert (await api.answer("/v1/capi"))["outcomes"]["pending"] == 1


async def test_a_shop_without_any_data_is_reported_what_to_do_next(
    store: SqlStore, log: SqliteLog
) -> None:
    async with serving(store, log) as empty, browsing(origin(empty)) as watched:
        page = watched.page
        await page.goto(watched.origin)
        for panel in PANELS:
            await page.wait_for_selector(f"#{panel}[aria-busy=false]")
        assert "orderwire subscribe" in await page.inner_text("#working")
        assert "orderwire spend" in await page.inner_text("#budget")
        assert "no checkout is known" in await page.inner_text("#carts")
    assert watched.complaints == []
