"""The web page at `/`: one page of panels that updates itself from the API.

The page is a frame; its scripts ask `/v1/…` and listen to `/v1/events`. Everything comes from this
process: no other host is ever asked, which the Content-Security-Policy enforces.
"""

import asyncio
import gzip
import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from secrets import token_urlsafe
from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from jinja2 import Environment, PackageLoader, StrictUndefined

from query.auth import COOKIE
from query.problem import Problem
from query.services import SERVICES, authorise_request

POLICY: Final = (
    "default-src 'none'; script-src 'nonce-{nonce}' 'strict-dynamic'; style-src 'self'"
    # Plotly positions its marks by style attributes.
    "; style-src-attr 'unsafe-inline'; style-src-elem 'self' 'nonce-{nonce}'; img-src 'self' data:"
    "; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
STATIC: Final = (
    *("dashboard.css", "icon.svg"),
    *("app.js", "dom.js", "format.js", "charts.js", "live.js"),
    *("working.js", "today.js", "signals.js", "customers.js", "carts.js", "budget.js"),
)
PLOTLY: Final = "plotly.min.js"
YEAR_S: Final = 31_536_000
MONTH_S: Final = 2_592_000

_templates = Environment(
    loader=PackageLoader("query.dashboard"), autoescape=True, undefined=StrictUndefined
)


@dataclass(frozen=True, slots=True)
class File:
    """A file that the page needs; `etag` changes with its content."""

    body: bytes
    etag: str
    content_type: str


@cache
def file(name: str) -> File:
    """One of `STATIC`, or Plotly's script from its installed package."""
    if name == PLOTLY:
        source = files("plotly").joinpath("package_data", PLOTLY)
    else:
        source = files("query.dashboard").joinpath("static", name)
    body = source.read_bytes()
    return File(body, sha256(body).hexdigest()[:16], TYPES[name.rpartition(".")[2]])


@cache
def packed(name: str) -> bytes:
    """The same, compressed once."""
    return gzip.compress(file(name).body, mtime=0)


@cache
def plotly_styles() -> tuple[str, ...]:
    """Ids of the style elements that Plotly makes where they are missing.

    The policy lets no script make one. The page has them, empty and with its nonce, and Plotly
    inserts its rules.
    """
    maps = re.search(rb'getElementById\("([0-9a-f]{64})"\)\)\{var', file(PLOTLY).body)
    return ("plotly.js-style-global", *([maps[1].decode()] if maps else []))


@cache
def version() -> str:
    """Changes with any file of ours, so that a browser keeps what has not changed."""
    return sha256("".join(file(name).etag for name in STATIC).encode()).hexdigest()[:12]


async def page(request: web.Request) -> web.Response:
    """GET /."""
    services = request.app[SERVICES]
    settings = services.settings
    try:
        reach = authorise_request(request)
    except Problem:
        return _html("sign_in.html", HTTPStatus.UNAUTHORIZED, failed=COOKIE in request.cookies)
    shops = sorted(shop for shop in settings.shops if reach.includes(shop))
    named = request.query.get("shop", "").strip().lower()
    return _html(
        "page.html",
        styles=await asyncio.to_thread(plotly_styles),
        paths=" ".join(path for path in services.openapi()["paths"] if "{" not in path),
        shops=shops,
        shop=named if named in shops else shops[0] if shops else "",
        secured=bool(settings.tokens),
    )


async def static(request: web.Request) -> web.StreamResponse:
    """GET /static/{version}/{name}: kept by browsers for a year, since the version names the
    content."""
    name = request.match_info["name"]
    if name not in (*STATIC, PLOTLY):
        raise Problem(404, "not-found", "the page has no such file", "see /")
    found = await asyncio.to_thread(file, name)
    headers = {
        hdrs.ETAG: f'"{found.etag}"',
        hdrs.CACHE_CONTROL: f"public, max-age={YEAR_S}, immutable",
        hdrs.VARY: hdrs.ACCEPT_ENCODING,
    }
    if request.headers.get(hdrs.IF_NONE_MATCH) == headers[hdrs.ETAG]:
        return web.Response(status=HTTPStatus.NOT_MODIFIED, headers=headers)
    body = found.body
    if "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
        headers[hdrs.CONTENT_ENCODING] = "gzip"
        body = await asyncio.to_thread(packed, name)
    return web.Response(body=body, content_type=found.content_type, headers=headers)


async def sign_in(request: web.Request) -> web.StreamResponse:
    """POST /sign-in: keeps a token that is known in a cookie that no script can read."""
    token = (await request.post()).get("token")
    tokens = request.app[SERVICES].tokens
    if not isinstance(token, str) or tokens.reach(token.strip()) is None:
        return _html("sign_in.html", HTTPStatus.UNAUTHORIZED, failed=True)
    response = _to_the_page()
    response.set_cookie(
        COOKIE,
        token.strip(),
        max_age=MONTH_S,
        httponly=True,
        samesite="Strict",
        secure=_is_https(request),
        path="/",
    )
    return response


async def sign_out(_: web.Request) -> web.StreamResponse:
    """POST /sign-out."""
    response = _to_the_page()
    response.del_cookie(COOKIE, path="/")
    return response


def add_dashboard(app: web.Application) -> None:
    """The page's paths, beside those of the API."""
    app.router.add_get("/", page)
    app.router.add_get("/static/{version}/{name}", static)
    app.router.add_post("/sign-in", sign_in)
    app.router.add_post("/sign-out", sign_out)


def _to_the_page() -> web.Response:
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={hdrs.LOCATION: "/"})


def _html(template: str, status: int = HTTPStatus.OK, **values: object) -> web.Response:
    nonce = token_urlsafe(16)
    text = _templates.get_template(template).render(nonce=nonce, assets=version(), **values)
    return web.Response(
        text=text,
        status=status,
        content_type="text/html",
        headers={"Content-Security-Policy": POLICY.format(nonce=nonce)},
    )


def _is_https(request: web.Request) -> bool:
    """Whether the browser speaks HTTPS, to us or to the proxy in front."""
    origin = request.headers.get(hdrs.ORIGIN, "")
    return request.scheme == "https" or urlsplit(origin).scheme == "https"
