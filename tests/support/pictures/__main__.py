"""`make screenshots`: takes docs/pictures from a running demo, in its terminal and in Chromium."""

import asyncio
import re
import sys
import time
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from tests.support.delivery.browser import CHROMIUM
from tests.support.pictures.terminal import Terminal, terminal

FOLDER = Path(__file__).parents[3] / "docs" / "pictures"
COLUMNS, LINES = 100, 31
STARTED_S, LIVE_S, LOADED_S = 240.0, 60.0, 6.0
"""How long the demo may take until it is live, how long it is watched then, and a page until its
charts are drawn."""
PAGES = {
    "dashboard-light.png": (1440, 900, "light"),
    "dashboard-dark.png": (1440, 900, "dark"),
    "dashboard-phone.png": (390, 844, "light"),
}


def dashboard_of(demo: Terminal) -> str:
    """The dashboard's address, once the demo is live. Raises TimeoutError."""
    until = time.monotonic() + STARTED_S
    while time.monotonic() < until:
        demo.read(1)
        text = "\n".join(demo.text)
        found = re.search(r"dashboard (http://127\.0\.0\.1:\d+/)", text)
        if found is not None and "webhooks/s" in text:
            return found[1]
        if demo.process.poll() is not None:
            break
    raise TimeoutError("the demo is not live:\n" + "\n".join(demo.text))


async def take(address: str, screen: str) -> None:
    """Every picture."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            for name, (width, height, scheme) in PAGES.items():
                await _page(browser, address, name, width, height, scheme)
            page = await browser.new_page(viewport={"width": 1000, "height": 600})
            await page.set_content(screen)
            await page.locator("pre").screenshot(path=FOLDER / "terminal.png")
        finally:
            await browser.close()


async def _page(
    browser: Browser, address: str, name: str, width: int, height: int, scheme: str
) -> None:
    page = await browser.new_page(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    await page.goto(address, wait_until="domcontentloaded")  # the live stream never ends
    await asyncio.sleep(LOADED_S)
    await page.screenshot(path=FOLDER / name)
    await page.close()


def main() -> None:
    """Run the demo, wait until there is something to see, and take the pictures."""
    FOLDER.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "orderwire", "demo"]
    with terminal(command, COLUMNS, LINES) as demo:
        address = dashboard_of(demo)
        demo.read(LIVE_S)
        screen = demo.page()
        asyncio.run(take(address, screen))
    for path in sorted(FOLDER.glob("*.png")):
        sys.stdout.write(f"{path.name}: {path.stat().st_size / 1000:.0f} kB\n")


if __name__ == "__main__":
    main()
