"""When a failed row is tried again: exponential, capped, with full jitter above one half.

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
| 11 and later | 11.25 min | + 11.25 min each, until the event is 7 days old |

The slow class (code 368, Meta's 'temporarily blocked') starts at 5 minutes and ends at 1 hour. A paused pixel is probed after 15, 30, 60
seconds, 2, 4 and then every 5 minutes. A throttle that names no time to wait lasts 5 s, then 10, 20, ... and at most 5 minutes.
"""

BASE_MS = 1_000
CAP_MS = 15 * 60_000
SLOW_BASE_MS = 5 * 60_000
SLOW_CAP_MS = 60 * 60_000
PROBE_BASE_MS = 15_000
PROBE_CAP_MS = 5 * 60_000
THROTTLE_BASE_MS = 5_000
THROTTLE_MAX_MS = 5 * 60_000
THROTTLE_TOLD_CAP_MS = 24 * 60 * 60_000
"""However long Meta says: after a day it is asked again, before the events are too old."""


def retry_ms(tries: int, jitter: float, *, slow: bool = False) -> int:
    """Milliseconds until the next attempt after `tries` failures (1 or more); `jitter` is uniform in [0, 1)."""
    base, cap = (SLOW_BASE_MS, SLOW_CAP_MS) if slow else (BASE_MS, CAP_MS)
    full: int = min(base << min(tries - 1, 20), cap)
    return round(full * (0.5 + 0.5 * jitter))


def throttle_ms(tries: int) -> int:
    """Milliseconds that a throttle lasts which names no time, the `tries`-th (1 or more) that the same row meets."""
    return int(min(THROTTLE_BASE_MS << min(tries - 1, 20), THROTTLE_MAX_MS))


def probe_ms(probes: int) -> int:
    """Milliseconds until a paused pixel is probed again, after `probes` probes that failed."""
    return int(min(PROBE_BASE_MS << min(probes, 20), PROBE_CAP_MS))
