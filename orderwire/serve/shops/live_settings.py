"""Reloads the shops of a running role on SIGHUP and when orderwire.toml changes. Everything else
takes a restart. An edit that cannot be read is logged, shown in `/v1/status`, and changes
nothing."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from orderwire.serve.waiting import unless_stopped
from orderwire.settings.program import ConfigurationError, Settings

LOOK_S = 2.0
"""How often the file is looked at."""

log = structlog.get_logger()


class LiveSettings:
    """Settings that follow the file. `watch` until stopped; wait for news with `changed`."""

    def __init__(
        self,
        settings: Settings,
        load: Callable[[], Settings] = Settings.load,
        look_s: float = LOOK_S,
    ) -> None:
        self.now = settings
        """The settings that hold."""
        self.error: str | None = None
        """Why the last edit was refused; None where it was not."""
        self._load, self._look_s = load, look_s
        self._asked, self._news = asyncio.Event(), asyncio.Event()
        self._seen = _stamp(settings.config)

    def ask(self) -> None:
        """Reload now, for SIGHUP."""
        self._asked.set()

    async def watch(self) -> None:
        """Follow the file until cancelled."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._asked.wait(), self._look_s)
            stamp = await asyncio.to_thread(_stamp, self.now.config)
            if not self._asked.is_set() and stamp == self._seen:
                continue
            self._asked.clear()
            self._seen = stamp
            await self._reload()

    async def _reload(self) -> None:
        try:
            read = await asyncio.to_thread(self._load)
            if not read.shops:
                raise ConfigurationError(f"{self.now.config}: no shop is left in it")
        except ConfigurationError as error:
            self.error = str(error)
            log.error("settings not read again", error=self.error, shops=len(self.now.shops))
            return
        self.error = None
        if read.model_copy(update={"shops": self.now.shops}) != self.now:
            log.warning("settings beside the shops have changed: they take a restart")
        before = self.now.shops
        if read.shops == before:
            return
        self.now = self.now.model_copy(update={"shops": read.shops})
        log.info(
            "shops read again",
            shops=len(read.shops),
            added=sorted(read.shops.keys() - before.keys()),
            removed=sorted(before.keys() - read.shops.keys()),
            changed=sorted(
                domain
                for domain in read.shops.keys() & before.keys()
                if read.shops[domain] != before[domain]
            ),
        )
        self._news.set()

    def details(self) -> dict[str, Any]:
        """For the role's heartbeat."""
        return {} if self.error is None else {"settings_error": self.error}

    async def changed(self, stop: asyncio.Event) -> Settings | None:
        """The settings once they have changed; None where `stop` was set first."""
        await unless_stopped(stop, self._news.wait())
        if stop.is_set():
            return None
        self._news.clear()
        return self.now


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Values that change whenever the file does."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
