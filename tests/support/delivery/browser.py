"""A real browser: Debian's or the machine's chromium, driven by Playwright."""

import asyncio
import atexit
import functools
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.async_api import Page, Request

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
NOT_WANTED = (
    *("HttpsUpgrades", "HttpsFirstBalancedModeAutoEnable", "MediaRouter", "PaintHolding"),
    *("OptimizationHints", "NetworkTimeServiceQuerying", "PreconnectToSearch"),
    # Pages of the address bar, which nobody opens: a second of CPU.
    *("WebUIOmniboxPopup", "WebUIOmniboxAimPopup"),
)
MOUSE = (
    *("primaryHoverType=2", "availableHoverTypes=2"),
    *("primaryPointerType=4", "availablePointerTypes=4"),
)
KEPT = "v8CacheOptions=3"
"""Keep scripts compiled from their first load on, not from the second as by default. Compiling
Plotly takes most of the time of a page that is loaded again."""
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-dev-shm-usage", "--remote-debugging-port=0"),
    # As Playwright starts it: every page at full speed, nothing asked of anybody.
    *("--hide-scrollbars", "--mute-audio", "--force-color-profile=srgb", "--no-first-run"),
    *("--disable-background-timer-throttling", "--disable-backgrounding-occluded-windows"),
    *("--disable-renderer-backgrounding", "--disable-back-forward-cache", "--disable-extensions"),
    *("--disable-background-networking", "--disable-component-update", "--disable-default-apps"),
    *("--disable-component-extensions-with-background-pages", "--disable-field-trial-config"),
    *("--disable-breakpad", "--disable-sync", "--metrics-recording-only", "--password-store=basic"),
    f"--disable-features={','.join(NOT_WANTED)}",
    f"--blink-settings={','.join((*MOUSE, KEPT))}",
)
UNTIL_STDIN_ENDS = """
exec 3<&0
"$@" >"$0/chromium.log" 2>&1 3<&- &
browser=$!
(cat <&3; kill -KILL $browser) &
exec 3<&-
wait $browser
rm -rf "$0"
"""
"""A shell script: runs a command until this process closes the pipe or has ended, however."""
START_S = 60.0


class Chromium:
    """Chromium in a process of its own, with a new profile in a temporary folder. One page stays
    open: with the last one its window would close."""

    def __init__(self) -> None:
        assert CHROMIUM is not None
        profile = Path(tempfile.mkdtemp(prefix="orderwire-chromium-"))
        self._log = profile / "chromium.log"
        command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self._shell = subprocess.Popen(
            ["sh", "-c", UNTIL_STDIN_ENDS, f"{profile}", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        atexit.register(self.close)

    @property
    def ended(self) -> bool:
        return self._shell.poll() is not None

    async def address(self) -> str:
        """Where it listens for the DevTools protocol, once it does."""
        deadline = time.monotonic() + START_S
        while True:
            said = self._log.read_text() if self._log.exists() else ""
            if found := re.search(r"DevTools listening on (ws://\S+)\n", said):
                return found[1]
            assert time.monotonic() < deadline, said
            assert not self.ended, said
            await asyncio.sleep(0.02)

    def close(self) -> None:
        """Returns when it has ended and its profile is removed."""
        self._shell.communicate(timeout=START_S)


@functools.cache
def _started() -> Chromium:
    return Chromium()


def chromium() -> Chromium:
    """The one of this process: started once, and again only where it has crashed."""
    if _started().ended:
        _started.cache_clear()
    return _started()


@dataclass
class Watched:
    """A page, and what it complained of or asked of anybody else."""

    page: "Page"
    origin: str
    complaints: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)

    def asked(self, request: "Request") -> None:
        if not request.url.startswith((self.origin, "data:")):
            self.elsewhere.append(request.url)


@asynccontextmanager
async def browsing(origin: str) -> AsyncIterator[Watched]:
    """A new page at `origin`, in a browser that has kept nothing; nothing is loaded yet."""
    from playwright.async_api import async_playwright  # takes half a second

    address = await chromium().address()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.connect_over_cdp(address)
        # The profile's own: other contexts keep no compiled scripts.
        page = await browser.contexts[0].new_page()
        try:
            session = await page.context.new_cdp_session(page)
            await session.send("Network.clearBrowserCache")
            await session.send("Network.clearBrowserCookies")
            await page.set_viewport_size({"width": 1440, "height": 900})
            await page.emulate_media(color_scheme="light")
            page.set_default_timeout(60_000)
            watched = Watched(page, origin)
            page.on(
                "console",
                lambda said: (
                    watched.complaints.append(said.text)
                    if said.type in ("error", "warning")
                    else None
                ),
            )
            page.on("pageerror", lambda error: watched.complaints.append(str(error)))
            page.on("request", watched.asked)
            yield watched
        finally:
            await page.close()
