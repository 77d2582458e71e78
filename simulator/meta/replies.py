"""Scripted answers of the Graph stand-in, and random faults.

Error titles are French on purpose: Meta localises them, so code that reads text instead of codes
fails here (docs/facts/meta.md, "Answers").
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

import orjson

from simulator.servers.stand_in import ScriptedReply


class EventsCall(NamedTuple):
    """A POST of events, as a script sees it before the rules do. Scripts must not keep `events`."""

    number: int
    """1 for the first request of the stand-in's life."""
    at_s: float
    """Unix time of its arrival."""
    version: str
    pixel: str
    events: Sequence[Any]


@dataclass(frozen=True, slots=True)
class GraphReply(ScriptedReply):
    """An answer instead of the rules'."""

    takes: int | None = 0
    """Events of the batch that are kept all the same, from its start; None for all. Only where
    `status` is set or `reset`."""


Script = Callable[[EventsCall], GraphReply | None]


def error_body(
    code: int,
    message: str,
    fbtrace_id: str,
    *,
    subcode: int | None = None,
    type: str = "OAuthException",
    is_transient: bool = False,
    title: str = "Paramètre non valide",
) -> bytes:
    """Meta's error object (docs/facts/meta.md, "Answers")."""
    error: dict[str, Any] = {
        "message": message,
        "type": type,
        "code": code,
        "is_transient": is_transient,
    }
    if subcode is not None:
        error["error_subcode"] = subcode
        error["error_user_title"] = title
        error["error_user_msg"] = "Un événement de cette requête ne peut pas être traité."
    return orjson.dumps({"error": {**error, "fbtrace_id": fbtrace_id}})


def failure(
    code: int,
    *,
    status: int = 400,
    subcode: int | None = None,
    type: str = "OAuthException",
    is_transient: bool = False,
    message: str = "Une erreur est survenue",
    headers: Mapping[str, str] | None = None,
    delay_s: float = 0.0,
    takes: int | None = 0,
) -> GraphReply:
    """Any error of the Graph API."""
    body = error_body(
        code, message, "AScripted", subcode=subcode, type=type, is_transient=is_transient
    )
    return GraphReply(status, body, headers=headers or {}, delay_s=delay_s, takes=takes)


def transient(code: int = 2, *, status: int = 500, takes: int | None = 0) -> GraphReply:
    """Service temporarily unavailable; code 2 may have been applied."""
    return failure(code, status=status, is_transient=True, takes=takes)


def throttled(
    minutes: int = 1, *, code: int = 80004, account: str = "1", status: int = 400
) -> GraphReply:
    """Too many calls; `minutes` is what `X-Business-Use-Case-Usage` gives as the time to wait."""
    return failure(
        code, status=status, subcode=2446079, headers=usage(minutes, percent=100, account=account)
    )


def usage(minutes: int = 0, *, percent: int = 10, account: str = "1") -> dict[str, str]:
    """The usage headers: percentages of what is allowed, and minutes until access is regained."""
    use = {
        "type": "ads_management",
        "call_count": percent,
        "total_cputime": percent,
        "total_time": percent,
    }
    return {
        "X-Business-Use-Case-Usage": orjson.dumps(
            {account: [{**use, "estimated_time_to_regain_access": minutes}]}
        ).decode(),
        "X-App-Usage": orjson.dumps(
            dict.fromkeys(("call_count", "total_cputime", "total_time"), percent)
        ).decode(),
    }


def token_expired(subcode: int = 463) -> GraphReply:
    """Code 190: 460 after a password change, 463 expired."""
    return failure(190, status=401, subcode=subcode, message="Error validating access token")


def wrong_pixel() -> GraphReply:
    """100/33: the pixel does not exist or the token has no grant for it."""
    return failure(100, subcode=33, type="GraphMethodException", message="Unsupported post request")


def html(status: int = 502) -> GraphReply:
    """The error page of a proxy in front of Meta."""
    return GraphReply(
        status,
        b"<!DOCTYPE html><html><title>Erreur</title><body>Sorry, something went "
        b"wrong.</body></html>",
        "text/html",
    )


def reset(takes: int | None = 0) -> GraphReply:
    """The connection is cut without an answer."""
    return GraphReply(reset=True, takes=takes)


def slow(delay_s: float) -> GraphReply:
    """The answer of the rules, later."""
    return GraphReply(delay_s=delay_s)


def partial(received: int) -> GraphReply:
    """200 for the first `received` events of a batch."""
    body = {"events_received": received, "messages": [], "fbtrace_id": "AScripted"}
    return GraphReply(200, orjson.dumps(body), takes=received)


@dataclass(frozen=True, slots=True)
class Faults:
    """Shares of requests (0 to 1) that meet each kind of fault, drawn by `seed`; use it as a
    script."""

    seed: int = 0
    transient: float = 0.0
    ambiguous: float = 0.0
    """Kept, and then a connection reset."""
    resets: float = 0.0
    html: float = 0.0
    throttled: float = 0.0
    latency_s: tuple[float, float] = (0.0, 0.0)
    """Uniform between the two, for requests that meet no trouble."""
    outage_s: tuple[float, float] | None = None
    """Unix times between which no token is good."""

    def script(self) -> Script:
        """A script with random numbers of its own; the same calls in the same order meet the same
        faults."""
        random = Random(self.seed)
        troubles: tuple[tuple[float, Callable[[], GraphReply]], ...] = (
            (self.transient, transient),
            (self.ambiguous, lambda: reset(takes=None)),
            (self.resets, reset),
            (self.html, html),
            (self.throttled, lambda: throttled(0)),
        )

        def answer(call: EventsCall) -> GraphReply | None:
            if self.outage_s is not None and self.outage_s[0] <= call.at_s < self.outage_s[1]:
                return token_expired()
            drawn = random.random()
            for share, trouble in troubles:
                if drawn < share:
                    return trouble()
                drawn -= share
            return slow(random.uniform(*self.latency_s)) if self.latency_s[1] else None

        return answer
