"""A route of the API: one entry for router, parameters, authorisation and OpenAPI."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp import web
from msgspec import Struct

from aggregates.parameters import Parameter
from query.api_settings import ShopAnswerSettings
from query.auth import Reach

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, authorised and with its parameters read."""

    request: web.Request
    reach: Reach
    values: Json
    """Parameters by name."""
    shop: str
    """Empty where the route has none."""
    settings: ShopAnswerSettings
    now_ms: int


Handler = Callable[[Asked], Awaitable[Json | Struct | web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class ApiRoute:
    """A route. `scope` says who may ask: anyone (`open`), any token (`shop` and `status`: one shop
    is named, or it is the only one), or a token for all shops (`installation`)."""

    method: Literal["GET", "POST"]
    path: str
    summary: str
    handler: Handler
    scope: Literal["open", "shop", "status", "installation"] = "shop"
    parameters: tuple[Parameter, ...] = ()
    answer: type[Struct] | tuple[type[Struct], ...] | None = None
    """The members of a 200 beyond `shop` and `as_of`, or those that it may have by turns; None
    where it is no JSON object of ours."""
    media_types: tuple[str, ...] = ("application/json",)
    statuses: tuple[int, ...] = (200,)
    """With which such an answer comes."""
    enveloped: bool = True
    """Whether the answer has `shop` and `as_of` beside its own members."""
    body: type[Struct] | None = None
    """The request's JSON body, which may be left out."""

    @property
    def answers(self) -> tuple[type[Struct], ...]:
        """Every type that the answer may have."""
        if self.answer is None:
            return ()
        return self.answer if isinstance(self.answer, tuple) else (self.answer,)
