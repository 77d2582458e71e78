"""Makes the OpenAPI 3.1 document from the routes and the types of their answers, and two pages that
show it without scripts or other hosts."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from html import escape
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec import Struct

from query.csv_lists import CSV, list_of
from query.envelope import OfInstallation, OfShop
from query.problem import CONTENT_TYPE, PROBLEMS, ProblemDocument
from query.route import ApiRoute

Json = dict[str, Any]

STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;"
    "color:#1b1f24;background:#fff}"
    "code{background:#f2f4f7;padding:.1rem .3rem;border-radius:.2rem}"
    "table{border-collapse:collapse;width:100%}"
    "td,th{border-bottom:1px solid #d9dee5;padding:.3rem .5rem;text-align:left;vertical-align:top}"
    "h2{margin-top:2.5rem;font-size:1.15rem}"
    "@media(prefers-color-scheme:dark){body{color:#e6e9ee;background:#14171b}"
    "code{background:#242931}td,th{border-color:#3a414b}}"
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


def document(routes: Sequence[ApiRoute], version: str, *, secured: bool) -> Json:
    """OpenAPI 3.1; `secured` if a bearer token is needed."""
    types: dict[type[Struct], None] = dict.fromkeys([ProblemDocument, OfShop, OfInstallation])
    for route in routes:
        types |= dict.fromkeys([*route.answers, *([route.body] if route.body else [])])
    references, schemas = msgspec.json.schema_components(
        types, ref_template="#/components/schemas/{name}"
    )
    for schema in schemas.values():
        for part in schema.get("properties", {}).values():
            part.setdefault("examples", [example(part, schemas)])
    schema_of = dict(zip(types, references, strict=True))
    paths: dict[str, Json] = {}
    for route in routes:
        operation = _operation(route, schema_of, schemas, secured=secured)
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    components: Json = {"schemas": schemas}
    if secured:
        components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "orderwire",
            "version": version,
            "summary": "Orders in; Meta Purchase events and live aggregates out",
            "description": "Money is a decimal string with its currency, times are RFC 3339 in UTC,"
            " days the shop's, shares fractions of 1. What is not known is null, and a `reason`"
            " beside it says why.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": components,
    }


def example(schema: Json, schemas: Mapping[str, Json]) -> Any:
    """The example that a schema gives, or one put together from its parts."""
    if "examples" in schema:
        return schema["examples"][0]
    if "$ref" in schema:
        return example(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "allOf" in schema:
        return {
            name: value
            for each in schema["allOf"]
            for name, value in example(each, schemas).items()
        }
    for several in ("anyOf", "enum"):
        if several in schema:
            first = schema[several][0]
            return example(first, schemas) if several == "anyOf" else first
    if schema.get("type") == "array":
        return [example(schema["items"], schemas)] if "items" in schema else []
    return {name: example(part, schemas) for name, part in schema.get("properties", {}).items()}


SERVER_SENT_EVENT: Final[Json] = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "event": {"type": "string"},
        "id": {"type": "string"},
        "data": {"type": "string", "contentMediaType": "application/json"},
        "retry": {"type": "integer"},
    },
}
"""One event of a stream (WHATWG HTML, "Server-sent events")."""


def _operation(
    route: ApiRoute,
    schema_of: Mapping[type[Struct], Json],
    schemas: Mapping[str, Json],
    *,
    secured: bool,
) -> Json:
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
    answer = {
        "description": "the answer",
        "content": {
            media: _content(route, media, schema_of, schemas)
            for media in dict.fromkeys([*route.media_types, *([CSV] if list_of(route) else [])])
        },
    }
    operation: Json = {
        "operationId": route.method.lower() + name,
        "summary": route.summary,
        "parameters": parameters,
        "responses": {
            **{str(status): answer for status in route.statuses},
            "default": {
                "description": "a problem (RFC 9457)",
                "content": {CONTENT_TYPE: {"schema": schema_of[ProblemDocument]}},
            },
        },
    }
    if route.body is not None:
        operation["requestBody"] = {
            "required": False,
            "content": {"application/json": {"schema": schema_of[route.body]}},
        }
    if secured:
        operation["security"] = [] if route.scope == "open" else [{"bearer": []}]
    return operation


def _content(
    route: ApiRoute,
    media: str,
    schema_of: Mapping[type[Struct], Json],
    schemas: Mapping[str, Json],
) -> Json:
    if media == "text/event-stream":
        return {"schema": SERVER_SENT_EVENT}
    if media != "application/json":
        return {"schema": {"type": "string"}}
    if not route.answers:
        return {"schema": {"type": "object"}}
    several = [schema_of[each] for each in route.answers]
    own: Json = several[0] if len(several) == 1 else {"anyOf": several}
    envelopes = {"shop": OfShop, "status": OfInstallation}
    if route.enveloped and route.scope in envelopes:
        own = {"allOf": [schema_of[envelopes[route.scope]], own]}
    return {"schema": own, "example": example(own, schemas)}


def docs_page(openapi: Mapping[str, Any]) -> web.Response:
    """`/docs`: every route with its parameters, and every problem under its anchor."""
    parts = [
        f"<h1>orderwire {escape(openapi['info']['version'])}</h1>",
        f"<p>{escape(openapi['info']['description'])}</p>",
    ]
    parts.append("<p>As a document for tools: <a href='/openapi.json'>/openapi.json</a></p>")
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            parts.append(
                f"<h2 id='{escape(operation['operationId'])}'>"
                f"<code>{method.upper()} {escape(path)}</code></h2>"
            )
            parts.append(f"<p>{escape(operation['summary'])}</p>{_parameters(operation)}")
            schema = (
                operation["responses"]["200"]["content"]
                .get("application/json", {})
                .get("schema", {})
            )
            parts += _fields(schema, openapi["components"]["schemas"])
    parts.append("<h1>Problems</h1>")
    parts += [
        f"<h2 id='{kind}'><code>{kind}</code></h2><p>{escape(about)}</p>"
        for kind, about in PROBLEMS.items()
    ]
    return _page("orderwire: API", "".join(parts))


def _fields(schema: Json, schemas: Json) -> list[str]:
    """A table of the answer's members, with those of its parts below it."""
    tables, seen, waiting = list[str](), set[str](), [schema]
    while waiting:
        one = waiting.pop(0)
        waiting += one.get("allOf", [])
        waiting += [one["items"]] if "items" in one else []
        waiting += one.get("anyOf", [])
        name = one.get("$ref", "").rpartition("/")[2]
        if not name or name in seen:
            continue
        seen.add(name)
        properties = schemas[name]["properties"]
        waiting += properties.values()
        rows = "".join(
            f"<tr><td><code>{escape(field)}</code></td><td>{escape(each['description'])}</td>"
            f"<td><code>{escape(_shown(each['examples'][0]))}</code></td></tr>"
            for field, each in properties.items()
        )
        tables.append(
            f"<h3>{escape(name)}</h3><p>{escape(schemas[name]['description'])}</p>"
            f"<table><tr><th>member</th><th>meaning</th><th>example</th></tr>{rows}</table>"
        )
    return tables


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."


def _parameters(operation: Json) -> str:
    if not operation["parameters"]:
        return ""
    rows = "".join(
        f"<tr><td><code>{escape(each['name'])}</code></td><td>{escape(each['description'])}</td>"
        f"<td>{_allowed(each['schema'])}</td></tr>"
        for each in operation["parameters"]
    )
    return f"<table><tr><th>parameter</th><th>meaning</th><th>may be</th></tr>{rows}</table>"


def _allowed(schema: Json) -> str:
    if "enum" in schema:
        return ", ".join(f"<code>{escape(value)}</code>" for value in schema["enum"])
    if "minimum" in schema:
        return f"{schema['minimum']} to {schema['maximum']}"
    return escape(str(schema.get("description", "text")))


def _page(title: str, body: str) -> web.Response:
    html = (
        "<!doctype html><html lang='en'><meta charset='utf-8'>"
        f"<meta name='viewport' content='width=device-width'><title>{title}</title>"
        f"<style>{STYLE}</style><body>{body}</body></html>"
    )
    return web.Response(
        text=html, content_type="text/html", headers={"Content-Security-Policy": POLICY}
    )
