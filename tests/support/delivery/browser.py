"""A real browser: Debian's or the machine's chromium, driven by Playwright."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.async_api import Page, Request

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


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
async def browsing(origin: str, *, width: int = 1440, dark: bool = False) -> AsyncIterator[Watched]:
    """A new page at `origin`; nothing is loaded yet."""
    from playwright.async_api import async_playwright  # takes half a second

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            page = await browser.new_page(
                viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light"
            )
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
            await browser.close()
