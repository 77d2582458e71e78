"""Maps answers of Meta's Graph API to an error class and an action. Codes decide, never texts: Meta
translates them (docs/facts/meta.md, "Error classes" and "Subcodes")."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any, NamedTuple

import orjson

from destinations.delivery.verdict import ErrorClass
from processors.shopify.tolerance import mapping, sequence


class Action(StrEnum):
    """What the sender does."""

    DONE = "done"
    RETRY = "retry"
    WAIT = "wait"
    PAUSE = "pause"
    BISECT = "bisect"
    STRIP_FBC = "strip_fbc"


class GraphVerdict(NamedTuple):
    """The meaning of an answer."""

    kind: ErrorClass
    action: Action
    http_status: int | None = None
    code: int | None = None
    subcode: int | None = None
    fbtrace_id: str | None = None
    message: str = ""
    """Meta's words, for the pause that a user sees; may quote a token until `scrubbed`."""
    ambiguous: bool = False
    wait_ms: int | None = None
    """What the usage headers say; None where they say nothing."""
    received: int = 0


TRANSIENT = frozenset({1, 2, 341, 5000, 21009})
THROTTLE = frozenset({4, 17, 32, 613, *range(80_000, 80_100)})
"""800xx are the limits of the business use cases; more of them are in use than are documented."""
CONFIGURATION = frozenset({190, 101, 102, 104, 10, 3, 803, 2500, 2635, *range(200, 300)})
"""101 (an unknown app), 2500 (a path that Graph does not know) and 2635 (a version it has retired)
are added here: they blame settings, not an event."""
BAD_FBC = 2804001
MEANINGS = {
    2804001: "the click id is badly formatted",
    2804003: "the event is older than 7 days",
    2804004: "event_time is in the future",
    2804008: "an item of contents has no id",
    2804009: "a Purchase without value",
    2804023: "a value without currency",
    2804030: "a Limited Data Use selection is required",
    2804043: "app_data extinfo has a blank OS version",
    2804050: "too little customer information",
}
"""Permanent subcodes of code 100 whose meaning is known (docs/facts/meta.md, "Subcodes")."""
ACTIONS = {
    ErrorClass.SENT: Action.DONE,
    ErrorClass.TRANSIENT: Action.RETRY,
    ErrorClass.TRANSIENT_SLOW: Action.RETRY,
    ErrorClass.THROTTLE: Action.WAIT,
    ErrorClass.CONFIGURATION: Action.PAUSE,
    ErrorClass.PERMANENT: Action.BISECT,
}
_token = re.compile(r"EAA[A-Za-z0-9]{8,}|[A-Za-z0-9_\-|]{40,}")


def _integer(value: Any) -> int | None:
    """A whole number, or a string of its digits."""
    if isinstance(value, str) and len(value) < 19 and value.isascii() and value.isdigit():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _says_transient(error: Mapping[str, Any]) -> bool:
    return error.get("is_transient") in (True, "true")


def _kind(
    status: int, error: Mapping[str, Any], code: int | None, subcode: int | None
) -> ErrorClass:
    # First: Graph writes `is_transient` beside its rate limits, too.
    if code in THROTTLE or status == 429:
        return ErrorClass.THROTTLE
    if _says_transient(error) or code in TRANSIENT:
        return ErrorClass.TRANSIENT
    if code == 368:
        return ErrorClass.TRANSIENT_SLOW
    if code in CONFIGURATION:
        return ErrorClass.CONFIGURATION
    if code == 100 and (
        subcode == 33 or (not subcode and error.get("type") == "GraphMethodException")
    ):
        return ErrorClass.CONFIGURATION
    if code in (100, 105):
        return ErrorClass.PERMANENT
    if status in (401, 403):
        return ErrorClass.CONFIGURATION
    return ErrorClass.PERMANENT if 400 <= status < 500 else ErrorClass.TRANSIENT


USAGE = ("x-business-use-case-usage", "x-app-usage", "x-ad-account-usage")
LONGEST_WAIT_S = 86_400
"""A `Retry-After` of more than a day is not believed."""


def regain_ms(headers: Mapping[str, str]) -> int | None:
    """How long the headers ask to wait, milliseconds; None if they do not say. The longest of
    `Retry-After` and the usage headers counts.

    `Retry-After` is in seconds or a date (RFC 9110, 10.2.3), `estimated_time_to_regain_access` of
    the usage headers in minutes (docs/facts/meta.md, "Rate limits").
    """
    found = {name.lower(): value for name, value in headers.items()}
    waits = [_retry_after_s(found.get("retry-after", ""), found.get("date", ""))]
    for name in USAGE:
        try:
            usage = mapping(orjson.loads(found.get(name) or b"{}"))
        except orjson.JSONDecodeError:
            continue
        uses = (usage, *(mapping(use) for uses in usage.values() for use in sequence(uses)))
        waits += [_minutes(use.get("estimated_time_to_regain_access")) * 60 for use in uses]
    longest = max(waits)
    return round(longest * 1000) if longest > 0 else None


def _retry_after_s(value: str, date: str) -> float:
    """Seconds, 0 for a malformed value; a date counts from the answer's own."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(min(int(value[:9]), LONGEST_WAIT_S))
    try:
        wait = parsedate_to_datetime(value) - parsedate_to_datetime(date)
    except (TypeError, ValueError):
        return 0.0
    return min(max(wait.total_seconds(), 0.0), LONGEST_WAIT_S)


def _minutes(value: Any) -> float:
    """A number, or a string of one; 0 for anything else, and for absurdly large ones."""
    try:
        minutes = (
            float(value)
            if isinstance(value, str | int | float) and not isinstance(value, bool)
            else 0.0
        )
    except (ValueError, OverflowError):
        return 0.0
    return minutes if 0 < minutes < 1e9 else 0.0


def classify(http_status: int | None, headers: Mapping[str, str], body: bytes) -> GraphVerdict:
    """The meaning of an answer. `http_status` None: the request was written (at least in part) and
    no answer came.

    | class | what matches | action |
    |---|---|---|
    | sent | 200 with `events_received` of 1 and more | done |
    | throttle | 4, 17, 32, 613, 800xx whatever `is_transient` says; HTTP 429 | wait |
    | transient | no answer; 5xx; not Graph's; 200 with `events_received` 0 | retry |
    | transient | `is_transient`; 1, 2, 341, 5000, 21009 | retry |
    | transient_slow | 368 | retry, slower |
    | configuration | 190, 101, 102, 104, 10, 3, 200-299, 803, 2500, 2635; HTTP 401, 403 | pause |
    | configuration | 100 with subcode 33; 100 GraphMethodException without subcode | pause |
    | permanent | every other 100, 105; any other 4xx (413: batch too large) | bisect, then dead |
    | permanent | 2804001 | remove fbc, send again |

    An unlisted code is transient with 5xx, permanent with 4xx. `ambiguous`: Meta may have accepted
    the events all the same (no answer after the request was written, code 2, a gateway's timeout).
    """
    if http_status is None:
        return GraphVerdict(ErrorClass.TRANSIENT, Action.RETRY, ambiguous=True)
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    error = answer.get("error") if isinstance(answer, dict) else None
    if not isinstance(error, dict):
        received = _integer(answer.get("events_received")) if isinstance(answer, dict) else None
        if 200 <= http_status < 300 and received is not None:
            trace = answer.get("fbtrace_id") if isinstance(answer, dict) else None
            kind = ErrorClass.SENT if received > 0 else ErrorClass.TRANSIENT
            return GraphVerdict(
                kind,
                ACTIONS[kind],
                http_status,
                fbtrace_id=_trace(trace),
                message="" if received > 0 else "Meta received none of the events",
                received=received,
            )
        # Not Graph's: no judgement of an event. Only what a gateway says by its status alone is
        # taken at its word.
        by_status = http_status in (413, 429) or (
            http_status in (401, 403) and isinstance(answer, dict)
        )
        kind = _kind(http_status, {}, None, None) if by_status else ErrorClass.TRANSIENT
        # A 2xx that is not Graph's, or a gateway that gave up waiting: what happened behind it is
        # not known.
        ambiguous = http_status < 300 or http_status in (502, 504)
        wait_ms = regain_ms(headers) if http_status in (429, 503) else None
        action = Action.WAIT if wait_ms is not None else ACTIONS[kind]
        return GraphVerdict(kind, action, http_status, ambiguous=ambiguous, wait_ms=wait_ms)
    code, subcode = _integer(error.get("code")), _integer(error.get("error_subcode"))
    kind = _kind(http_status, error, code, subcode)
    action, wait_ms = ACTIONS[kind], None
    if kind in (ErrorClass.THROTTLE, ErrorClass.TRANSIENT, ErrorClass.TRANSIENT_SLOW):
        wait_ms = regain_ms(headers)
    if kind is ErrorClass.PERMANENT and subcode == BAD_FBC:
        action = Action.STRIP_FBC
    elif wait_ms is not None:
        action = Action.WAIT
    message = error.get("message")
    return GraphVerdict(
        kind,
        action,
        http_status,
        code,
        subcode,
        _trace(error.get("fbtrace_id")),
        message if isinstance(message, str) else "",
        ambiguous=kind is ErrorClass.TRANSIENT and code == 2,
        wait_ms=wait_ms,
    )


def _trace(value: Any) -> str | None:
    return value[:64] if isinstance(value, str) else None


def scrubbed(message: str, *secrets: str | None) -> str:
    """`message` without the secrets given, without anything that looks like a token, and at most
    300 characters long."""
    for secret in secrets:
        if secret:
            message = message.replace(secret, "[secret]")
    return _token.sub("[token]", message)[:300]


def meaning(verdict: GraphVerdict) -> str:
    """Why a row is dead, in our own words: Meta's may quote what was sent."""
    reason = MEANINGS.get(verdict.subcode or 0, "Meta refused the event")
    return (
        f"{reason} (code {verdict.code}, subcode {verdict.subcode}, HTTP {verdict.http_status}, "
        f"trace {verdict.fbtrace_id})"
    )
