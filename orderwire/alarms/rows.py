"""What is known of an alarm that fires, or has just ended: who was notified, and when to try again.
A pure step from what was known to what is known."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, NamedTuple

from orderwire.alarms.conditions import AlarmSubject
from orderwire.alarms.table import ALARMS

GONE_MS: Final = 60_000
"""An alarm has ended when nobody has seen it for so long: a restart is shorter."""
GIVE_UP_MS: Final = 24 * 3_600_000
"""After that long nobody is notified of its end any more."""
RETRY_MS: Final = (5_000, 15_000, 60_000, 300_000)
State = Literal["pending", "firing"]
"""A pending alarm is in log, status and doctor, and not reported to anybody yet."""
FOR_MS: Final = {alarm.name: alarm.for_s * 1_000 for alarm in ALARMS}


class AlertRow(NamedTuple):
    """One alarm."""

    subject: AlarmSubject
    since_ms: int
    fires_ms: int
    """When it has lasted long enough."""
    seen_ms: int
    detail: str
    """The cause, without personal data; "" where the meaning says it all."""
    ended_ms: int = 0
    notified: frozenset[str] = frozenset()
    """Where its begin (before `ended_ms` is set) or its end was reported."""
    tries: int = 0
    next_ms: int = 0
    revision: int = 0
    """Changed by each write, so that of several processes one reports it."""

    def state(self, now_ms: int) -> State | None:
        """As `/v1/status` says it; None once it has ended."""
        if self.ended_ms:
            return None
        return "firing" if now_ms >= self.fires_ms else "pending"


def seen(
    known: Mapping[AlarmSubject, AlertRow],
    holding: Iterable[AlarmSubject],
    detail: Callable[[AlarmSubject], str],
    now_ms: int,
    *,
    sure: bool,
) -> dict[AlarmSubject, AlertRow]:
    """The rows that change. `sure`: this process has looked for long enough to say what has
    ended."""
    changed: dict[AlarmSubject, AlertRow] = {}
    holding = set(holding)
    for subject in holding:
        row = known.get(subject)
        if row is None or row.ended_ms:
            fires_ms = now_ms + FOR_MS.get(subject.alarm, 0)
            revision = row.revision if row else 0
            changed[subject] = AlertRow(
                subject, now_ms, fires_ms, now_ms, detail(subject), revision=revision
            )
        else:
            # The cause is looked up again while nobody has been notified.
            words = row.detail or detail(subject)
            changed[subject] = row._replace(seen_ms=now_ms, detail=words)
    for subject, row in known.items():
        unseen = sure and subject not in holding and not row.ended_ms
        if unseen and now_ms - row.seen_ms >= GONE_MS:
            changed[subject] = row._replace(ended_ms=now_ms, tries=0, next_ms=now_ms)
    return changed


def is_over(row: AlertRow, now_ms: int) -> bool:
    """Whether it can be forgotten: it has ended, and nobody is left to hear of it."""
    return bool(row.ended_ms) and (not row.notified or now_ms - row.ended_ms > GIVE_UP_MS)


def tried(
    row: AlertRow, succeeded: frozenset[str], wanted: frozenset[str], now_ms: int
) -> AlertRow:
    """After an attempt to report. Of an end those are notified who were of the begin."""
    notified = row.notified - succeeded if row.ended_ms else row.notified | succeeded
    left = notified if row.ended_ms else wanted - notified
    if not left:
        return row._replace(notified=notified, tries=0, next_ms=0)
    wait_ms = RETRY_MS[min(row.tries, len(RETRY_MS) - 1)]
    return row._replace(notified=notified, tries=row.tries + 1, next_ms=now_ms + wait_ms)
