"""What an attempt makes of an outbox row: pure functions from the claimed row and a verdict to the
row's next state."""

from typing import NamedTuple

import msgspec
import orjson

from destinations.delivery.backoff import retry_ms
from destinations.delivery.rows import (
    DEAD,
    EXPIRED,
    HELD,
    MAYBE_ACCEPTED,
    OPEN,
    PENDING,
    SENDING,
    SENT,
    OutboxRow,
)
from destinations.delivery.verdict import ErrorClass
from destinations.meta.errors import GraphVerdict, meaning

AMBIGUOUS_MS = 48 * 3_600_000
"""Meta deduplicates for 48 hours after it first had the event (docs/facts/meta.md,
"Deduplication"); later, sending again may count twice."""
FIRST_ATTEMPTS, LAST_ATTEMPTS = 5, 25
"""Attempts that a row remembers: how it began, and how it is now."""


class Attempt(NamedTuple):
    """One request in which a row was sent, or meant to be."""

    at_ms: int
    duration_ms: int
    kind: str
    http_status: int | None
    code: int | None
    subcode: int | None
    fbtrace_id: str | None

    def line(self) -> str:
        """As it is kept in `OutboxRow.attempts`."""
        told = {
            "at_ms": self.at_ms,
            "duration_ms": self.duration_ms,
            "class": self.kind,
            "http_status": self.http_status,
            "code": self.code,
            "subcode": self.subcode,
            "fbtrace_id": self.fbtrace_id,
        }
        return orjson.dumps(told).decode() + "\n"


def attempt(verdict: GraphVerdict, at_ms: int, duration_ms: int) -> Attempt:
    """The record of a request."""
    kind = "ambiguous" if verdict.ambiguous and verdict.http_status is None else verdict.kind.value
    return Attempt(
        at_ms,
        duration_ms,
        kind,
        verdict.http_status,
        verdict.code,
        verdict.subcode,
        verdict.fbtrace_id,
    )


def appended(attempts: str, line: str) -> str:
    """One more line, the middle ones forgotten where they are too many."""
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
    )


def forbidden(row: OutboxRow, outcome: str, reason: str) -> OutboxRow:
    """Not to be sent (again), as a later delivery says; what is final already stays. While it is being sent the veto waits (`settled`)."""
    if row.outcome == SENDING:
        return row._replace(veto=outcome, reason=reason)
    if row.outcome not in OPEN | HELD:
        return row
    return _final(
        row,
        outcome,
        reason
        if row.ambiguous_ms is None
        else f"{reason}; it was sent before, and Meta may have taken it",
    )


def settled(now: OutboxRow, new: OutboxRow) -> OutboxRow:
    """What a claimed row becomes: `new` is made of the row as it was claimed, `now` is what later deliveries have made of it since."""
    new = new._replace(
        updated_us=now.updated_us, triggered=now.triggered, digest=now.digest, veto=""
    )
    return forbidden(new, now.veto, now.reason) if now.veto else new


def sent(row: OutboxRow, made: Attempt) -> OutboxRow:
    """Meta took it. `sent_ms` is when the request was put on the wire."""
    return _final(row, SENT)._replace(
        sent_ms=made.at_ms, attempts=appended(row.attempts, made.line()), tries=0
    )


def dead(row: OutboxRow, made: Attempt, verdict: GraphVerdict) -> OutboxRow:
    """Meta will never take it as it is. The payload stays until the event is too old, so that a user can have it tried again."""
    return row._replace(
        outcome=DEAD,
        reason=meaning(verdict),
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
    tries: int = 0,
    ambiguous_ms: int | None = None,
) -> OutboxRow:
    """To be sent (again) at `due_ms`; `maybe_accepted` from the first attempt on of which nobody knows what became of it."""
    first = row.ambiguous_ms if row.ambiguous_ms is not None else ambiguous_ms
    expires = row.expires_ms
    if first is not None:
        expires = min(expires or first + AMBIGUOUS_MS, first + AMBIGUOUS_MS)
    return row._replace(
        outcome=PENDING if first is None else MAYBE_ACCEPTED,
        reason=""
        if first is None
        else "sent, but no answer told whether Meta took it; sent again with the same event id",
        due_ms=due_ms,
        expires_ms=expires,
        ambiguous_ms=first,
        claimed_by="",
        tries=tries,
        attempts=row.attempts if made is None else appended(row.attempts, made.line()),
    )


def failed(row: OutboxRow, made: Attempt, verdict: GraphVerdict, jitter: float) -> OutboxRow:
    """A transient failure: again after a while, longer each time."""
    tries = row.tries + 1
    ended_ms = made.at_ms + made.duration_ms
    due = ended_ms + retry_ms(tries, jitter, slow=verdict.kind is ErrorClass.TRANSIENT_SLOW)
    return waiting(
        row, due, made, tries=tries, ambiguous_ms=made.at_ms if verdict.ambiguous else None
    )


def without_fbc(row: OutboxRow) -> OutboxRow:
    """The same event without its click id, which Meta calls badly formatted."""
    event = orjson.loads(row.payload)
    event["user_data"].pop("fbc", None)
    keys = ",".join(key for key in row.match_keys.split(",") if key != "fbc")
    return row._replace(payload=orjson.dumps(event), match_keys=keys)


def expired(row: OutboxRow) -> OutboxRow:
    """Too late, visibly: what a row becomes at its `expires_ms`. A dead one stays dead and loses its payload."""
    if row.outcome == DEAD:
        return row._replace(payload=b"", expires_ms=None)
    if row.ambiguous_ms is not None:
        return _final(
            row,
            EXPIRED,
            "no answer told whether Meta took it, and by now a repeat may count twice (48 hours), or is too old",
        )
    return _final(row, EXPIRED, "it could not be sent before the event was too old for Meta")


def parsed(attempts: str) -> list[dict[str, object]]:
    """The attempts of a row."""
    return [msgspec.json.decode(line, type=dict[str, object]) for line in attempts.splitlines()]
