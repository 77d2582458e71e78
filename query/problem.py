"""Errors of the API: RFC 9457 problem documents, each with a next step. `PROBLEMS` lists them."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

if TYPE_CHECKING:
    from aiohttp import web

CONTENT_TYPE: Final = "application/problem+json"

PROBLEMS: Final = {
    "bad-parameter": "400: a parameter, cursor or body is not what it may be; `parameter` and"
    " `allowed` say which and what",
    "which-shop": "400: several shops are within reach and none was named; `allowed` lists them",
    "not-allowed": "401 or 403: the token is missing, wrong or does not reach that far, or the"
    " request is another web page's",
    "unknown-shop": "404: no shop of that name is configured",
    "not-found": "404: no such path, customer, order or pixel",
    "method-not-allowed": "405: `Allow` lists the methods there are",
    "too-large": "413: the request's body is larger than any that means something",
    "too-many-requests": "429: the token asks too often; ask again after `Retry-After` seconds",
    "store-unavailable": "503: the database does not answer now; ask again after `Retry-After`"
    " seconds",
    "too-many-streams": "503: too many clients of the shop listen to /v1/events at this process",
    "log-unavailable": "503: the log does not take a record now; ask again after `Retry-After`"
    " seconds",
    "out-of-range": "500: a number of this shop is beyond what can be counted; other shops are"
    " answered. `orderwire rebuild all --shop NAME` counts the shop anew",
    "internal": "500: our mistake; the log of the query role has it",
}
"""Types (`/docs#...`), each with its status and when it comes."""


class ProblemDocument(Struct, frozen=True, kw_only=True):
    """What is wrong with a request, or with us (RFC 9457)."""

    type: Annotated[
        str,
        Meta(
            description="Which kind of problem: a place in `/docs`.", examples=["/docs#not-found"]
        ),
    ]
    title: Annotated[str, Meta(description="The status in words.", examples=["Not Found"])]
    status: Annotated[int, Meta(description="The HTTP status.", examples=[404])]
    detail: Annotated[
        str,
        Meta(description="What is wrong.", examples=["no event was made of this order"]),
    ]
    next_step: Annotated[
        str, Meta(description="What to do about it.", examples=["look at GET /v1/status"])
    ]
    instance: Annotated[
        str, Meta(description="The path that was asked.", examples=["/v1/capi/orders/1"])
    ]
    parameter: Annotated[
        str | UnsetType,
        Meta(description="Which parameter is not what it may be.", examples=["days"]),
    ] = UNSET
    allowed: Annotated[
        list[str] | str | UnsetType | None,
        Meta(description="What may be sent: values, or a range.", examples=["7 to 366"]),
    ] = UNSET


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
        parameter: str | UnsetType = UNSET,
        allowed: list[str] | str | UnsetType | None = UNSET,
    ) -> None:
        """`kind` is one of the types above."""
        super().__init__(detail)
        self.status, self.kind, self.detail, self.next_step = status, kind, detail, next_step
        self.headers, self.parameter, self.allowed = dict(headers or {}), parameter, allowed

    def response(self, instance: str) -> "web.Response":
        """The answer; `instance` is the path that was asked."""
        # `orderwire serve` checks tokens before its roles are started, and answers nothing: half a
        # second of a start.
        from aiohttp import web

        document = ProblemDocument(
            type=f"/docs#{self.kind}",
            title=HTTPStatus(self.status).phrase,
            status=self.status,
            detail=self.detail,
            next_step=self.next_step,
            instance=instance,
            parameter=self.parameter,
            allowed=self.allowed,
        )
        return web.Response(
            status=self.status,
            body=msgspec.json.encode(document),
            content_type=CONTENT_TYPE,
            headers=self.headers,
        )


def bad_parameter(name: str, detail: str, allowed: Sequence[str] | str | None = None) -> Problem:
    """An invalid parameter; `allowed` lists values or says the range."""
    if isinstance(allowed, str) or allowed is None:
        choices = f": {allowed}" if allowed else ""
    else:
        allowed = list(allowed)
        choices = f": {', '.join(allowed)}" if allowed else ""
    return Problem(
        400,
        "bad-parameter",
        detail,
        f"ask again with {name} as allowed{choices}",
        parameter=name,
        allowed=allowed,
    )


def unknown_parameter(name: str, known: Sequence[str]) -> Problem:
    """A parameter that the path does not take; `known` are those that it takes."""
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
