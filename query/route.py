"""A route of the API: one entry serves the router, the reading of parameters, authorisation and OpenAPI."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp import web

from query.api_settings import ShopSettings
from query.auth import Reach
from query.parameters import Parameter

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
    settings: ShopSettings
    now_ms: int


Handler = Callable[[Asked], Awaitable[Json | web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """`scope` says who may ask: anyone (`open`), any token (`shop`: one shop is named or goes without saying), or a token for all shops."""

    method: Literal["GET", "POST"]
    path: str
    summary: str
    handler: Handler
    scope: Literal["open", "shop", "status", "installation"] = "shop"
    parameters: tuple[Parameter, ...] = ()
    fields: tuple[str, ...] = ()
    """Members that every 200 has, beyond `shop` and `as_of`."""
    media_types: tuple[str, ...] = ("application/json",)
    body: Json | None = None
    """Schema of the request's JSON body, which may be left out."""
    about: str = ""
