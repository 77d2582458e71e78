"""Isolates the parts of a role: a part that fails is reported and restarted, the others go on."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from orderwire.serve.waiting import unless_stopped
from processors.engine.limits import TooManyFailures
from processors.engine.stops import resume_command
from stream.log.contract import LogError
from stream.store.contract import StoreError

PAUSES_S = (1.0, 2.0, 5.0, 10.0)
"""Before a part that failed is begun again; the last one repeats. So what an operator has mended
(a position, a right in the database) is noticed without a restart."""
WELL_AFTER_S = 5.0
"""A part that has run for so long again is well; until then its reason is shown."""
ASKED_EVERY_S = 1.0

log = structlog.get_logger()


class Parts:
    """Runs parts until `stop`. `stopped`: parts that do not run now, by name, with the reason."""

    def __init__(self, stop: asyncio.Event, pauses_s: tuple[float, ...] = PAUSES_S) -> None:
        self._stop, self._pauses_s = stop, pauses_s
        self.stopped: dict[str, str] = {}

    async def keep(
        self,
        name: str,
        run: Callable[[], Awaitable[None]],
        may_go_on: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        """Run until `run` returns. `may_go_on` is asked after TooManyFailures. Raises nothing."""
        failures = 0
        # Not stamina: a part may run for days between two failures, and waits end with `stop`.
        while not self._stop.is_set():
            well = asyncio.get_running_loop().call_later(WELL_AFTER_S, self._well, name)
            try:
                await run()
                return
            except TooManyFailures as error:
                self._note(name, f"{error}; {resume_command(name)}", error)
                await unless_stopped(self._stop, _asked(may_go_on))
                self._well(name)
            except Exception as error:
                failures = failures + 1 if name in self.stopped else 1
                self._note(name, _reason(error), error)
                pause_s = self._pauses_s[min(failures, len(self._pauses_s)) - 1]
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), pause_s)
            finally:
                well.cancel()

    def note(self, name: str, reason: str) -> None:
        """A part that is not begun yet waits for something."""
        if self.stopped.get(name) != reason:
            log.error("waiting", part=name, reason=reason)
        self.stopped[name] = reason

    def well(self, name: str) -> None:
        """It goes on."""
        self._well(name)

    def _note(self, name: str, reason: str, error: Exception) -> None:
        if self.stopped.get(name) != reason:  # tried every few seconds, maybe for days
            ours = isinstance(error, TooManyFailures | LogError | StoreError)
            log.error("stopped", part=name, reason=reason, exc_info=None if ours else error)
        self.stopped[name] = reason

    def _well(self, name: str) -> None:
        if self.stopped.pop(name, None) is not None:
            log.info("goes on", part=name)


def _reason(error: Exception) -> str:
    """Our own errors say what to do; of any other the message may quote what somebody sent."""
    if isinstance(error, LogError | StoreError):
        return str(error)
    return f"{type(error).__name__}; it is tried again, see the log for where it was"


async def _asked(may_go_on: Callable[[], Awaitable[bool]] | None) -> None:
    # Not stamina: it waits for an operator's command.
    while True:
        await asyncio.sleep(ASKED_EVERY_S)
        try:
            if may_go_on is None or await may_go_on():
                return
        except StoreError:
            continue  # away; asked again
