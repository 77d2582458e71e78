"""The OpenAPI document shows every route and field, with a sentence and an example that fits."""

import re

import jsonschema

from query.endpoints.table import ROUTES
from tests.support.api.api_client import ON_ONE_STORE, Api


@ON_ONE_STORE
async def test_the_openapi_document_shows_every_route_and_every_field(api: Api) -> None:
    async with api.client.get("/openapi.json") as response:
        document = await response.json()
    assert document["openapi"].startswith("3.1")
    assert {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method in operations
    } == {(route.method, route.path) for route in ROUTES}
    names = [
        operation["operationId"]
        for operations in document["paths"].values()
        for operation in operations.values()
    ]
    assert len(set(names)) == len(names)
    resolver = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "components": document["components"],
    }
    for path in (
        "/v1/rfm",
        "/v1/rfm/customers",
        "/v1/carts",
        "/v1/carts/open",
        "/v1/budget",
        "/v1/capi",
        "/v1/destinations",
        "/v1/status",
    ):
        schema = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"][
            "schema"
        ]
        jsonschema.validate(await api.answer(path), resolver | schema)
    jsonschema.validate(
        await api.answer("/v1/nothing", status=404),
        resolver | document["components"]["schemas"]["ProblemDocument"],
    )


@ON_ONE_STORE
async def test_every_member_of_a_typed_answer_has_a_sentence_and_an_example_that_fits(
    api: Api,
) -> None:
    async with api.client.get("/openapi.json") as response:
        components = (await response.json())["components"]
    for name, schema in components["schemas"].items():
        assert schema["description"], name
        for member, part in schema["properties"].items():
            assert re.fullmatch(r"[A-Z0-9`].*\.", part["description"]), f"{name}.{member}"
            (example,) = part["examples"]
            jsonschema.validate(example, {"components": components} | part)


@ON_ONE_STORE
async def test_the_docs_need_no_script_and_no_other_host(api: Api) -> None:
    async with api.client.get("/docs") as response:
        assert response.content_type == "text/html"
        html = await response.text()
        policy = response.headers["Content-Security-Policy"]
    assert "<script" not in html
    assert "://" not in html.replace("https://example.myshopify.com", "")  # an example, no link
    assert "script-src" not in policy
    assert "/v1/rfm" in html
