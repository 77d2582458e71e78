"""The contract of a job: blocking work for one shop, repeated on a schedule. A job runs again from
its start if its process was killed, so it must tolerate being done twice. It never runs inside a
fold's transaction."""

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from stream.store.contract import Reading

MAX_S = 900.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One run of a job for one shop."""

    shop: str
    now_ms: int
    stop: threading.Event = field(default_factory=threading.Event)
    """Set when the process stops, the lease is lost, or the job has run for `max_s`: return soon,
    with what is done so far. Wait with `stop.wait(seconds)` instead of sleeping."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a run came to."""

    note: str = ""
    """Shown in `/v1/status`: a few words without personal data."""
    next_in_s: float | None = None
    """When to run again, where the job's own `every_s` is not right: 0 for more work waiting."""


@dataclass(frozen=True, slots=True)
class Job:
    """Work for each of `shops` every `every_s` seconds."""

    name: str
    every_s: float
    run: Callable[[Turn], Done | None]
    """Called in a thread. An exception is a failure: logged, shown, and tried again after a pause.

    The message of an exception class of ours is shown; of any other only the type.
    """
    shops: Collection[str]
    max_s: float = MAX_S
    waiting: Callable[[Reading, int], Collection[str]] | None = None
    """(store, now in ms) -> the shops that have something to do. Where it is given the turns of all
    others are put off together: a thousand idle shops cost one statement."""
