"""The OpenAPI 3.1 document, made from the table of routes, and the two pages that show it without a script or another host."""

from base64 import b64encode
from collections.abc import Iterable, Mapping
from hashlib import sha256
from html import escape
from typing import Any, Final

from aiohttp import web

from query.problem import CONTENT_TYPE, PROBLEMS
from query.route import Route

Json = dict[str, Any]

STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}"
    "code{background:#f2f4f7;padding:.1rem .3rem;border-radius:.2rem}table{border-collapse:collapse;width:100%}"
    "td,th{border-bottom:1px solid #d9dee5;padding:.3rem .5rem;text-align:left;vertical-align:top}h2{margin-top:2.5rem;font-size:1.15rem}"
    "@media(prefers-color-scheme:dark){body{color:#e6e9ee;background:#14171b}code{background:#242931}td,th{border-color:#3a414b}}"
)
POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{b64encode(sha256(STYLE.encode()).digest()).decode()}';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SHOP: Final[Json] = {
    "name": "shop",
    "in": "query",
    "required": False,
    "description": "shop domain; may be left out where one shop is within reach",
    "schema": {"type": "string"},
}
SCHEMAS: Final[Json] = {
    "Money": {
        "type": "object",
        "required": ["amount", "currency_code"],
        "properties": {
            "amount": {"type": "string", "examples": ["35.11"]},
            "currency_code": {"type": "string", "examples": ["USD"]},
        },
    },
    "AsOf": {
        "type": "object",
        "description": "what the answer rests on; `lag_records` is null where the log did not tell",
        "required": ["time", "event_time", "day", "lag_records"],
        "properties": {
            "time": {"type": "string", "format": "date-time"},
            "event_time": {"type": ["string", "null"], "format": "date-time"},
            "day": {"type": "string", "format": "date"},
            "lag_records": {"type": ["integer", "null"]},
        },
    },
    "Problem": {
        "type": "object",
        "required": ["type", "title", "status", "detail", "next_step"],
        "properties": {
            name: {"type": "string"}
            for name in ("type", "title", "detail", "next_step", "instance")
        }
        | {"status": {"type": "integer"}, "parameter": {"type": "string"}, "allowed": {}},
    },
}


def document(routes: Iterable[Route], version: str, *, secured: bool) -> Json:
    """OpenAPI 3.1; `secured` where a bearer token is needed."""
    paths: dict[str, Json] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, secured=secured)
    components: Json = {"schemas": SCHEMAS}
    if secured:
        components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "orderwire",
            "version": version,
            "summary": "Orders in; Meta Purchase events and live aggregates out",
            "description": "Money is a decimal string with its currency, times are RFC 3339 in UTC, days the shop's, "
            "shares fractions of 1. What cannot be told is null, and a `reason` beside it says why.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": components,
    }


def _operation(route: Route, *, secured: bool) -> Json:
    parameters = [SHOP] if route.scope in ("shop", "status") else []
    parameters += [
        {
            "name": each.name,
            "in": each.where,
            "required": each.where == "path",
            "description": each.about,
            "schema": dict(each.schema)
            | ({} if each.default is None else {"default": each.default}),
        }
        for each in route.parameters
    ]
    name = (
        "".join(part.strip("{}").replace(".", "_").title() for part in route.path.split("/"))
        or "Index"
    )
    operation: Json = {
        "operationId": route.method.lower() + name,
        "summary": route.summary,
        "parameters": parameters,
        "responses": {
            "200": {
                "description": "the answer",
                "content": {media: _content(route, media) for media in route.media_types},
            },
            "default": {
                "description": "a problem (RFC 9457)",
                "content": {CONTENT_TYPE: {"schema": _ref("Problem")}},
            },
        },
    }
    if route.body is not None:
        operation["requestBody"] = {
            "required": False,
            "content": {"application/json": {"schema": route.body}},
        }
    if secured:
        operation["security"] = [] if route.scope == "open" else [{"bearer": []}]
    return operation


def _content(route: Route, media: str) -> Json:
    if media != "application/json":
        return {"schema": {"type": "string"}}
    envelope = (
        {"shop": {"type": ["string", "null"]}, "as_of": _ref("AsOf")}
        if route.scope in ("shop", "status")
        else {}
    )
    return {
        "schema": {
            "type": "object",
            "required": [*envelope, *route.fields],
            "properties": envelope | {each: {} for each in route.fields},
        }
    }


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def docs_page(openapi: Mapping[str, Any]) -> web.Response:
    """`/docs`: every route with its parameters, and every problem under its anchor."""
    parts = [
        f"<h1>orderwire {escape(openapi['info']['version'])}</h1><p>{escape(openapi['info']['description'])}</p>"
    ]
    parts.append("<p>As a document for tools: <a href='/openapi.json'>/openapi.json</a></p>")
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            parts.append(
                f"<h2 id='{escape(operation['operationId'])}'><code>{method.upper()} {escape(path)}</code></h2>"
            )
            parts.append(f"<p>{escape(operation['summary'])}</p>{_parameters(operation)}")
            schema = (
                operation["responses"]["200"]["content"]
                .get("application/json", {})
                .get("schema", {})
            )
            if schema.get("required"):
                parts.append(
                    f"<p>Answers {', '.join(f'<code>{escape(name)}</code>' for name in schema['required'])}.</p>"
                )
    parts.append("<h1>Problems</h1>")
    parts += [
        f"<h2 id='{kind}'><code>{kind}</code></h2><p>{escape(about)}</p>"
        for kind, about in PROBLEMS.items()
    ]
    return _page("orderwire: API", "".join(parts))


def _parameters(operation: Json) -> str:
    if not operation["parameters"]:
        return ""
    rows = "".join(
        f"<tr><td><code>{escape(each['name'])}</code></td><td>{escape(each['description'])}</td><td>{_allowed(each['schema'])}</td></tr>"
        for each in operation["parameters"]
    )
    return f"<table><tr><th>parameter</th><th>meaning</th><th>may be</th></tr>{rows}</table>"


def _allowed(schema: Json) -> str:
    if "enum" in schema:
        return ", ".join(f"<code>{escape(value)}</code>" for value in schema["enum"])
    if "minimum" in schema:
        return f"{schema['minimum']} to {schema['maximum']}"
    return escape(str(schema.get("description", "text")))


def index_page(openapi: Mapping[str, Any]) -> web.Response:
    """`/`: links to what can be opened as it stands."""
    links = "".join(
        f"<tr><td><a href='{escape(path)}'>{escape(path)}</a></td><td>{escape(operations['get']['summary'])}</td></tr>"
        for path, operations in openapi["paths"].items()
        if "get" in operations and "{" not in path and path != "/"
    )
    return _page("orderwire", f"<h1>orderwire</h1><table>{links}</table>")


def _page(title: str, body: str) -> web.Response:
    html = (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'><title>{title}</title>"
        f"<style>{STYLE}</style><body>{body}</body></html>"
    )
    return web.Response(
        text=html, content_type="text/html", headers={"Content-Security-Policy": POLICY}
    )
