"""Which numbers of the API each panel of the dashboard has to show, and what axe says of the
page."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.async_api import Page

Json = dict[str, Any]
PANELS = ("working", "today", "signals", "customers", "carts", "budget")
LISTED = 12
"""Open carts that the page lists."""


def usd(money: Json) -> str:
    """As the page shows an amount."""
    return f"${float(money['amount']):,.2f}"


async def shown(page: "Page") -> None:
    """Wait until every panel has its first numbers."""
    for panel in PANELS:
        await page.wait_for_selector(f"#{panel}[aria-busy=false]")


async def expected(answer: Callable[[str], Awaitable[Json]]) -> dict[str, list[str]]:
    """Numbers of the API, by the panel that has to show them. `answer` gives that of a path."""
    status = await answer("/v1/status")
    day = f"?day={status['statements'][0]['day']}" if status["statements"] else ""
    rfm, carts, opened, capi, budget, days, statement = [
        await answer(f"/v1/{path}")
        for path in ("rfm", "carts", f"carts/open?limit={LISTED}", "capi", "budget", "days",
                     f"statement{day}")
    ]  # fmt: skip
    today, potential = days["items"][0], carts["recovery_potential"]
    campaign = budget["campaigns"][0]
    return {
        "working": [
            f"{status['parked']['records']:,}",
            f"{sum(each['shopify']['orders'] for each in statement['items']):,} orders in Shopify",
            f"{sum(each['missing']['orders'] for each in statement['items']):,} missing",
        ],
        "today": [usd(today["revenue"]), f"{today['orders']:,}", usd(today["value_sent"])],
        "signals": [
            f"{capi['match_keys']['em'] * 100:.0f} %",
            (capi["comparison"]["meaning"] or "").replace("`", ""),
        ],
        "customers": [
            f"of {rfm['customers']['ever']:,} ever",
            usd(rfm["ltv_simple"]["capped"]["ltv"]),
            *(f"{each['customers']:,}" for each in rfm["segments"]),
        ],
        "carts": [
            usd(potential["expected"]),
            f"{potential['open_carts']:,}",
            *(each["token"][:8] for each in opened["items"]),
            *(usd(each["expected"]) for each in opened["items"]),
        ],
        "budget": [
            campaign["name"] or campaign["campaign_id"],
            (campaign["why"] or campaign["reason"] or campaign["binding_constraint"] or "–")[1:],
        ],
    }


async def not_shown(page: "Page", wanted: dict[str, list[str]]) -> list[tuple[str, str]]:
    """(panel, number) of what the page does not show now."""
    return [
        (panel, number)
        for panel, numbers in wanted.items()
        for text in [await page.inner_text(f"#{panel}")]
        for number in numbers
        if number not in text
    ]


async def grave_violations(page: "Page") -> list[Any]:
    """What axe finds serious or critical, each with its elements."""
    from axe_playwright_python.async_playwright import Axe

    charts = "document.querySelectorAll('.chart').forEach((each) => each.scrollIntoView())"
    await page.evaluate(charts)
    found = await Axe().run(page)
    return [
        (each["id"], [node["html"][:120] for node in each["nodes"]])
        for each in found.response["violations"]
        if each["impact"] in ("serious", "critical")
    ]
