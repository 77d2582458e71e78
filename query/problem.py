"""What the API answers when it cannot: RFC 9457 problem+json, every one with what to do next. `PROBLEMS` lists them."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import orjson
from aiohttp import web

CONTENT_TYPE: Final = "application/problem+json"

PROBLEMS: Final = {
    "bad-parameter": "400: a parameter, cursor or body is not what it may be; `parameter` and `allowed` say which and what",
    "which-shop": "400: several shops are within reach and none was named; `allowed` lists them",
    "not-allowed": "401 or 403: the token is missing, wrong or does not reach that far, or the request is another web page's",
    "unknown-shop": "404: no shop of that name is configured",
    "not-found": "404: no such path, customer, order or pixel",
    "method-not-allowed": "405: `Allow` lists the methods there are",
    "too-large": "413: the request's body is larger than any that means something",
    "store-unavailable": "503: the database does not answer now; ask again after `Retry-After` seconds",
    "internal": "500: our mistake; the log of the query role has it",
}
"""Types (`/docs#...`), each with its status and when it comes."""


class Problem(Exception):
    """Raise it anywhere behind a route; it becomes the answer."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        next_step: str,
        *,
        headers: Mapping[Any, str] | None = None,
        **members: Any,
    ) -> None:
        """`kind` is one of the types above; `members` are further members of the JSON object."""
        super().__init__(detail)
        self.status, self.kind, self.detail, self.next_step = status, kind, detail, next_step
        self.headers, self.members = dict(headers or {}), members

    def response(self, instance: str) -> web.Response:
        """The answer; `instance` is the path that was asked."""
        document = {
            "type": f"/docs#{self.kind}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "next_step": self.next_step,
            "instance": instance,
            **self.members,
        }
        return web.Response(
            status=self.status,
            body=orjson.dumps(document),
            content_type=CONTENT_TYPE,
            headers=self.headers,
        )


def bad_parameter(name: str, detail: str, allowed: Any = None) -> Problem:
    """A parameter that is not what it may be; `allowed` lists values or tells the range."""
    told = (
        f": {', '.join(map(str, allowed))}"
        if isinstance(allowed, list | tuple)
        else f": {allowed}"
        if allowed
        else ""
    )
    return Problem(
        400,
        "bad-parameter",
        detail,
        f"ask again with {name} as allowed{told}",
        parameter=name,
        allowed=allowed,
    )


def unknown_parameter(name: str, known: Sequence[str]) -> Problem:
    """A parameter that the path does not take; `known` are those that it does."""
    step = (
        f"leave {name} out; there are: {', '.join(known)}"
        if known
        else f"leave {name} out: this path takes none of its own"
    )
    return Problem(
        400,
        "bad-parameter",
        f"there is no parameter {name!r} here",
        step,
        parameter=name,
        allowed=list(known),
    )


def not_found(what: str, next_step: str) -> Problem:
    return Problem(404, "not-found", what, next_step)
