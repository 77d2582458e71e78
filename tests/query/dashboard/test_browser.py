"""The dashboard in a real browser: it shows the numbers of the API, updates itself, and asks nobody
else."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from itertools import product
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from destinations.delivery.rows import CELLS
from stream.log.sqlite.log import SqliteLog
from stream.store.contract import Move
from stream.store.sql.store import SqlStore
from tests.support.api.api_client import NOW_MS, Api, fold, serving
from tests.support.api.api_shop import fill
from tests.support.api.panels import PANELS, expected, grave_violations, not_shown, shown
from tests.support.delivery import capi_orders
from tests.support.delivery.browser import browsing, needs_chromium
from tests.support.shopify.orders import SHOP, order

if TYPE_CHECKING:
    from playwright.async_api import Page

pytestmark = [
    needs_chromium,
    pytest.mark.parametrize("store_url", ["sqlite"], indirect=True),
]

MARK = """() => {
  document.querySelectorAll(".content > :first-child").forEach((each) => { each.marked = true; });
  window.redrawn = 0;
  const chart = document.querySelector("#carts .chart");
  chart.on("plotly_afterplot", () => { window.redrawn += 1; });
}"""
"""Marks what each panel begins with, and counts how often a chart is drawn from now on."""
MARKED = """() => [...document.querySelectorAll(".content > :first-child")]
  .filter((each) => each.marked).map((each) => each.closest(".panel").id)"""


@pytest.fixture
async def api(store: SqlStore, log: SqliteLog) -> AsyncIterator[Api]:
    fill(store)
    async with serving(store, log, refresh_s=0.2) as running:
        yield running


def origin(api: Api) -> str:
    return str(api.client.make_url("/")).rstrip("/")


async def test_the_page_shows_the_api_s_numbers_updates_itself_and_asks_nobody_else(
    api: Api, store: SqlStore, log: SqliteLog
) -> None:
    wanted = await expected(api.answer)
    async with browsing(origin(api)) as watched:
        page = watched.page
        for width, scheme in product((1440, 390), ("light", "dark")):
            await page.set_viewport_size({"width": width, "height": 900})
            await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            await page.goto(watched.origin)
            await shown(page)
            assert await not_shown(page, wanted) == []
            assert await page.evaluate("document.documentElement.scrollWidth") <= width
            assert await grave_violations(page) == [], (width, scheme)
        await what_has_not_changed_is_not_drawn_again(page)
        await a_cell_lists_its_customers(api, page)
        await a_new_order_shows(api, page, store, log)
        await dead_events_are_retried(api, page, store)
        assert watched.complaints == []
        assert watched.elsewhere == []


async def what_has_not_changed_is_not_drawn_again(page: "Page") -> None:
    """A reader's selection stays; `a_new_order_shows` is of what has changed."""
    await page.locator("#carts .chart").scroll_into_view_if_needed()
    await page.wait_for_selector("#carts .chart[data-drawn]")
    # Moves and cohorts come after the first numbers; nothing else does.
    for table in ("Moves between segments", "Cohorts by month"):
        await page.wait_for_selector(f"#customers >> text={table}")
    await page.evaluate(MARK)
    await every_panel_is_refreshed(page)
    assert await page.evaluate("window.redrawn") == 0
    assert await page.evaluate(MARKED) == list(PANELS)


async def every_panel_is_refreshed(page: "Page") -> None:
    """Twice: the second refresh of a panel begins when it shows the answers of the first."""
    paths = ("status", "destinations", "days", "capi", "rfm", "carts", "budget")
    asked: Counter[str] = Counter()
    page.on("request", lambda request: asked.update([urlsplit(request.url).path]))
    async with asyncio.timeout(60):
        while any(asked[f"/v1/{path}"] < 3 for path in paths):
            await page.dispatch_event("#period", "change")
            await asyncio.sleep(0.05)


async def a_cell_lists_its_customers(api: Api, page: "Page") -> None:
    grid = (await api.answer("/v1/rfm"))["grid"]
    box = max(grid, key=lambda each: int(each["customers"]))
    query = {"r": box["r"], "fm": box["fm"], "sort": "monetary", "limit": 20}
    items = (await api.answer("/v1/rfm/customers", query))["items"]
    await page.click(f"[data-key=box-{box['r']}-{box['fm']}]")
    table = page.get_by_role("region", name=f"R {box['r']}, FM {box['fm']}")
    await table.wait_for()
    assert await table.locator("tbody tr").count() == len(items)
    assert await table.locator("tbody th").all_inner_texts() == [each["id"] for each in items]


async def a_new_order_shows(api: Api, page: "Page", store: SqlStore, log: SqliteLog) -> None:
    before = (await api.answer("/v1/rfm"))["customers"]["ever"]
    await log.append([capi_orders.record(capi_orders.body(4711))])
    await asyncio.to_thread(fold, store, [[order("9001", customer="a new one")]])
    # As the runner moves it; otherwise the page learns of it within a minute, with time alone.
    with store.begin() as transaction:
        at = transaction.positions("orders")[0].next
        transaction.advance("orders", "orders", {0: Move(at, at + 1, 1)}, NOW_MS)
    await page.wait_for_selector(f"#customers >> text=of {before + 1:,} ever")
    await page.wait_for_selector("#today >> text=4711")


async def dead_events_are_retried(api: Api, page: "Page", store: SqlStore) -> None:
    with store.begin() as transaction:
        transaction.execute(
            "UPDATE outbox SET outcome = 'dead', due_ms = NULL, reason = 'refused' WHERE shop = :s",
            s=SHOP,
        )
        transaction.add(
            CELLS,
            {(SHOP, "meta", "outcome", "pending"): (-1,), (SHOP, "meta", "outcome", "dead"): (1,)},
        )
    await page.click("#working >> text=Retry 1")
    await page.wait_for_selector("#working button", state="detached")
    assert (await api.answer("/v1/capi"))["outcomes"]["pending"] == 1


async def test_what_time_alone_changes_shows_within_a_minute(
    store: SqlStore, log: SqliteLog
) -> None:
    async with serving(store, log) as quiet, browsing(origin(quiet)) as watched:
        page = watched.page
        await page.clock.install()
        await page.goto(watched.origin)
        await shown(page)
        await page.clock.fast_forward(2_000)  # over the rest after the first answers
        asked: list[str] = []
        page.on("request", lambda request: asked.append(urlsplit(request.url).path))
        await page.clock.fast_forward(60_000)
        async with asyncio.timeout(60):
            while not {"/v1/rfm", "/v1/carts", "/v1/budget", "/v1/capi", "/v1/days"} <= {*asked}:  # noqa: ASYNC110 - of the browser
                await asyncio.sleep(0.05)
    assert watched.complaints == []


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
        assert "orderwire subscribe" in await page.inner_text("#carts")
        assert "orderwire backfill" in await page.inner_text("#customers")
        assert "orderwire reconcile --statement" in await page.inner_text("#working")
    assert watched.complaints == []
