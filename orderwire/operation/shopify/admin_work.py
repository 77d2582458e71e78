"""Runs blocking work on a shop's Admin API beside the log, for commands: progress on a terminal,
Ctrl-C stops it where it can go on later."""

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import stamina
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from orderwire.serve.schedule.services import Services, services
from orderwire.serve.start.connections import open_log
from orderwire.settings.program import Settings
from stream.store.contract import Store

T = TypeVar("T")


class _Rate(ProgressColumn):
    """Objects a second."""

    def render(self, task: Task) -> Text:
        return Text("" if not task.speed else f"{task.speed:,.0f}/s", style="progress.data.speed")


@contextmanager
def rated_progress(what: str, expected: int, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Gives a function to call with how many more are done; shows rate and remaining time."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    ) as bar:
        task = bar.add_task(what, total=max(expected, done) or None, completed=done)
        yield lambda more: bar.advance(task, more)


def with_log(
    settings: Settings, store: Store, stop: threading.Event, work: Callable[[Services], T]
) -> T:
    """Run `work` in a thread beside an open log; the first Ctrl-C sets `stop`."""

    async def run() -> T:
        log = await open_log(settings)
        loop = asyncio.get_running_loop()
        if threading.current_thread() is threading.main_thread():
            loop.add_signal_handler(signal.SIGINT, stop.set)
            loop.add_signal_handler(signal.SIGTERM, stop.set)
        # The progress shows that something waits; what lasts is said at the end.
        stamina.instrumentation.set_on_retry_hooks([])
        try:
            return await asyncio.to_thread(work, services(store, log))
        finally:
            await log.close()

    return asyncio.run(run())
