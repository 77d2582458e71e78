"""When a failed row is retried, a paused account is probed, and a throttled one is asked again."""

from typing import NamedTuple

PROBE_BASE_MS = 15_000
PROBE_CAP_MS = 5 * 60_000
THROTTLE_BASE_MS = 5_000
THROTTLE_MAX_MS = 5 * 60_000
THROTTLE_NAMED_CAP_MS = 24 * 60 * 60_000
"""However long the vendor says: after a day it is asked again, before the events are too old."""


class Schedule(NamedTuple):
    """The waits between a row's attempts, in milliseconds."""

    waits_ms: tuple[int, ...]
    slow_waits_ms: tuple[int, ...] = ()
    """After a failure of the class `transient_slow`; empty: as after any other."""
    jitter: float = 0.5
    """The share by which a wait may be shorter: many rows that failed together do not come
    together."""
    ends: bool = False
    """A row is dead when it failed once more than there are waits; else the last wait repeats."""

    def retry_ms(self, tries: int, chance: float, *, slow: bool = False) -> int | None:
        """Milliseconds until the next attempt after `tries` failures (1 or more), or None: no more.

        `chance` is uniform in [0, 1).
        """
        if self.ends and tries > len(self.waits_ms):
            return None
        waits = (self.slow_waits_ms if slow else ()) or self.waits_ms
        return round(waits[min(tries, len(waits)) - 1] * (1 - self.jitter + self.jitter * chance))


def doubling(first_ms: int, last_ms: int) -> tuple[int, ...]:
    """Waits that double from `first_ms` up to `last_ms`."""
    waits = []
    while first_ms < last_ms:
        waits.append(first_ms)
        first_ms *= 2
    return (*waits, last_ms)


GROWING = Schedule(doubling(1_000, 15 * 60_000), doubling(5 * 60_000, 60 * 60_000))
"""Growing waits, the default schedule; the jitter is drawn anew for each wait:

| attempt that failed | wait before the next (middle of the jitter) | since the first |
|---|---|---|
| 1 | 0.75 s | 0.75 s |
| 2 | 1.5 s | 2.3 s |
| 3 | 3 s | 5.3 s |
| 4 | 6 s | 11 s |
| 5 | 12 s | 23 s |
| 6 | 24 s | 47 s |
| 7 | 48 s | 1.6 min |
| 8 | 96 s | 3.2 min |
| 9 | 3.2 min | 6.4 min |
| 10 | 6.4 min | 12.8 min |
| 11 and later | 11.25 min | + 11.25 min each, until the event expires |

Its slow waits start at 5 minutes and end at 1 hour.
"""


def again_ms(tries: int, chance: float) -> int:
    """Milliseconds to wait after `tries` failures of the store or of a lane, which are no row's
    fault."""
    return GROWING.retry_ms(tries, chance) or 0


def throttle_ms(tries: int) -> int:
    """Milliseconds that a throttle without a stated time lasts, for the `tries`-th (1 or more) that
    the same row meets: 5 s, then 10, 20 and so on, at most 5 minutes."""
    return int(min(THROTTLE_BASE_MS << min(tries - 1, 20), THROTTLE_MAX_MS))


def probe_ms(probes: int) -> int:
    """Milliseconds until a paused account is probed again, after `probes` failed probes: 15, 30, 60
    seconds, 2, 4 and then every 5 minutes."""
    return int(min(PROBE_BASE_MS << min(probes, 20), PROBE_CAP_MS))
