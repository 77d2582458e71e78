"""The next state of an outbox row after an attempt: pure functions of the claimed row and a
verdict."""

from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import orjson

from destinations.delivery.backoff import Schedule
from destinations.delivery.rows import (
    DEAD,
    DRY_RUN,
    EXPIRED,
    FORBID_ONLY,
    MAYBE_ACCEPTED,
    OPEN,
    PENDING,
    SENDING,
    SENT,
    OutboxRow,
)
from destinations.delivery.verdict import Detail, ErrorClass, Verdict

FIRST_ATTEMPTS, LAST_ATTEMPTS = 5, 25
"""Attempts that a row remembers: how it began, and how it is now."""
UNANSWERED = "sent, but no answer said whether it was taken; sent again with the same event id"
NEVER_ANSWERED = (
    "no answer said whether it was taken, and by now a repeat may count twice, or is too old"
)
TOO_LATE = "it could not be sent before it was too old for its receiver"
MAY_BE_TAKEN = "; it was sent before, and may have been taken"


class Attempt(NamedTuple):
    """One request in which a row was sent, or meant to be."""

    at_ms: int
    duration_ms: int
    kind: str
    """An error class; `ambiguous` without an answer, `lost` where the sender died."""
    http_status: int | None = None
    details: Mapping[str, Detail] = {}

    def line(self) -> str:
        """As it is kept in `OutboxRow.attempts`."""
        kept = {
            "at_ms": self.at_ms,
            "duration_ms": self.duration_ms,
            "class": self.kind,
            "http_status": self.http_status,
            **self.details,
        }
        return orjson.dumps(kept).decode() + "\n"


def attempt(verdict: Verdict, at_ms: int, duration_ms: int) -> Attempt:
    """The record of a request."""
    kind = "ambiguous" if verdict.ambiguous and verdict.http_status is None else verdict.kind.value
    return Attempt(at_ms, duration_ms, kind, verdict.http_status, verdict.details)


def appended(attempts: str, line: str) -> str:
    """One more line; middle lines are dropped if there are too many."""
    lines = (attempts + line).splitlines(keepends=True)
    if len(lines) > FIRST_ATTEMPTS + LAST_ATTEMPTS:
        lines = lines[:FIRST_ATTEMPTS] + lines[-LAST_ATTEMPTS:]
    return "".join(lines)


def _final(row: OutboxRow, outcome: str, reason: str = "") -> OutboxRow:
    return row._replace(
        outcome=outcome,
        reason=reason,
        payload=b"",
        due_ms=None,
        expires_ms=None,
        claimed_by="",
        veto="",
        checkout_token="",
    )


def forbidden(row: OutboxRow, outcome: str, reason: str) -> OutboxRow:
    """Not to be sent (again), as a later delivery says; final rows stay. A veto on a row in
    `sending` waits for the result (`with_later_deliveries`)."""
    if row.outcome == SENDING:
        return row._replace(veto=outcome, reason=reason)
    if row.outcome not in OPEN | FORBID_ONLY:
        return row
    return _final(row, outcome, reason + MAY_BE_TAKEN * (row.ambiguous_ms is not None))


def with_later_deliveries(now: OutboxRow, new: OutboxRow) -> OutboxRow:
    """The claimed row's result: `new` comes from the row as it was claimed, `now` is what later
    deliveries have made of it since."""
    new = new._replace(
        updated_us=now.updated_us, triggered=now.triggered, digest=now.digest, veto=""
    )
    return forbidden(new, now.veto, now.reason) if now.veto else new


def sent(row: OutboxRow, made: Attempt) -> OutboxRow:
    """It was accepted. `sent_ms` is when the request was put on the wire."""
    return _final(row, SENT)._replace(
        sent_ms=made.at_ms, attempts=appended(row.attempts, made.line()), tries=0
    )


def dead(row: OutboxRow, made: Attempt, reason: str) -> OutboxRow:
    """It will never be accepted as it is. The payload stays until the event expires, so that a user
    can retry it."""
    return row._replace(
        outcome=DEAD,
        reason=reason,
        due_ms=None,
        claimed_by="",
        tries=0,
        attempts=appended(row.attempts, made.line()),
    )


def waiting(
    row: OutboxRow,
    due_ms: int,
    made: Attempt | None,
    *,
    repeat_ms: int | None,
    tries: int = 0,
    ambiguous_ms: int | None = None,
) -> OutboxRow:
    """To be sent (again) at `due_ms`; `maybe_accepted` from the first attempt on whose result is
    unknown.

    From then on it is worth sending only for `repeat_ms`, the time in which its receiver recognises
    a repeat (None: for ever).
    """
    first = row.ambiguous_ms if row.ambiguous_ms is not None else ambiguous_ms
    expires = row.expires_ms
    if first is not None and repeat_ms is not None:
        expires = min(expires or first + repeat_ms, first + repeat_ms)
    return row._replace(
        outcome=PENDING if first is None else MAYBE_ACCEPTED,
        reason="" if first is None else UNANSWERED,
        due_ms=due_ms,
        expires_ms=expires,
        ambiguous_ms=first,
        claimed_by="",
        tries=tries,
        attempts=row.attempts if made is None else appended(row.attempts, made.line()),
    )


def failed(
    row: OutboxRow,
    made: Attempt,
    verdict: Verdict,
    chance: float,
    schedule: Schedule,
    repeat_ms: int | None,
) -> OutboxRow:
    """A transient failure: retried as `schedule` says, or dead at its end."""
    tries = row.tries + 1
    slow = verdict.kind is ErrorClass.TRANSIENT_SLOW
    wait_ms = schedule.retry_ms(tries, chance, slow=slow)
    if wait_ms is None:
        status = "no answer" if verdict.http_status is None else f"HTTP {verdict.http_status}"
        return dead(row, made, f"given up after {tries} attempts, the last one with {status}")
    return waiting(
        row,
        made.at_ms + made.duration_ms + wait_ms,
        made,
        repeat_ms=repeat_ms,
        tries=tries,
        ambiguous_ms=made.at_ms if verdict.ambiguous else None,
    )


def expired(row: OutboxRow) -> OutboxRow:
    """The row at its `expires_ms`: expired, and visibly so. Dead rows and dry runs only lose their
    payload."""
    if row.outcome in (DEAD, DRY_RUN):
        return row._replace(payload=b"", expires_ms=None, checkout_token="")
    return _final(row, EXPIRED, TOO_LATE if row.ambiguous_ms is None else NEVER_ANSWERED)


def parsed(attempts: str) -> list[dict[str, object]]:
    """The attempts of a row."""
    return [msgspec.json.decode(line, type=dict[str, object]) for line in attempts.splitlines()]
