"""Answers have the fields of docs/api.md, `shop` and `as_of`; errors are problem documents."""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from aiohttp import hdrs

from destinations.delivery.answer import ShownAccount
from destinations.delivery.ledger import register
from destinations.registry import KINDS
from query.api_settings import ShopAnswerSettings
from query.endpoints.table import ROUTES
from stream.log.sqlite.log import SqliteLog
from stream.record import Record
from stream.store.contract import Move, StoreUnavailable
from stream.store.sql.store import SqlStore
from stream.times import day_text
from tests.support.api.api_client import NOW_MS, SETTINGS, TODAY, Api, fold, serving
from tests.support.api.api_shop import fill
from tests.support.delivery import capi_orders
from tests.support.shopify.orders import SHOP, order

Json = dict[str, Any]
EXAMPLES = (Path(__file__).parents[2] / "docs/api.md").read_text()
ON_ONE_STORE = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    hdrs.CACHE_CONTROL: "no-store",
}


@pytest.fixture
async def api(store: SqlStore, log: SqliteLog) -> AsyncIterator[Api]:
    """A shop with customers, a cart, a campaign, and an order on its way to Meta."""
    fill(store)
    async with serving(store, log) as running:
        yield running


def example_of(heading: str) -> Json:
    """The first example under a heading of docs/api.md that begins so."""
    section = EXAMPLES.split(f"\n## {heading}")[1].split("\n## ")[0]
    example = json.loads(section.split("```json\n")[1].split("```")[0])
    assert isinstance(example, dict)
    return example


def missing(example: Any, answer: Any, path: str = "") -> list[str]:
    """Fields of `example` that `answer` lacks, deeply; null may stand for anything."""
    if isinstance(example, dict) and isinstance(answer, dict):
        lacking = [f"{path}.{key}" for key in example if key not in answer]
        return lacking + [
            each
            for key in example
            if key in answer
            for each in missing(example[key], answer[key], f"{path}.{key}")
        ]
    if isinstance(example, list) and isinstance(answer, list):
        return [
            each
            for item in answer
            for each in (missing(example[0], item, f"{path}[]") if example else [])
        ]
    return (
        []
        if example is None
        or answer is None
        or type(answer) is type(example)
        or isinstance(example, int | float)
        else [f"{path}: {answer!r}"]
    )


def assert_envelope(answer: Json) -> None:
    assert answer["shop"] == SHOP
    assert set(answer["as_of"]) == {
        *("time", "event_time", "day", "lag_records"),
        *("counting_since", "window_covered"),
    }
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", answer["as_of"]["time"])


ENVELOPE = {"shop", "as_of"}


@pytest.mark.parametrize(
    ("path", "heading"),
    [
        ("/v1/rfm", "GET /v1/rfm\n"),
        ("/v1/rfm/customers/7", "GET /v1/rfm/customers,"),
        ("/v1/carts", "GET /v1/carts\n"),
        ("/v1/budget", "GET /v1/budget\n"),
        ("/v1/days", "GET /v1/days\n"),
        ("/v1/orders/7", "GET /v1/orders/"),
        ("/v1/rfm/cohorts", "GET /v1/rfm/cohorts\n"),
        ("/v1/rfm/moves", "GET /v1/rfm/moves\n"),
        ("/v1/destinations/meta", "GET /v1/destinations/{name}\n"),
        ("/v1/destinations/meta/orders/1001", "GET /v1/destinations/{name}/orders/"),
        ("/v1/capi", "GET /v1/capi\n"),
        ("/v1/capi/orders/1001", "GET /v1/capi/orders/"),
        ("/v1/statement", "GET /v1/statement\n"),
        ("/v1/status", "GET /v1/status\n"),
    ],
)
async def test_an_answer_has_the_fields_of_its_documented_example_and_no_others(
    api: Api, path: str, heading: str
) -> None:
    answer = await api.answer(path)
    assert_envelope(answer)
    example = example_of(heading)
    assert missing(example, answer) == []
    documented = {name: value for name, value in answer.items() if name not in ENVELOPE}
    assert missing(documented, example) == []


@pytest.mark.parametrize(
    ("path", "heading"),
    [("/v1/rfm/customers", "GET /v1/rfm/customers,"), ("/v1/carts/open", "GET /v1/carts/open")],
)
async def test_a_list_has_items_a_cursor_and_what_it_rests_on(
    api: Api, path: str, heading: str
) -> None:
    answer = await api.answer(path, {"limit": 1})
    assert_envelope(answer)
    assert {"items", "next_cursor"} <= set(answer)
    assert len(answer["items"]) == 1
    for item in answer["items"]:
        assert missing(example_of(heading), item) == []
        assert missing(item, example_of(heading)) == []


async def test_as_of_shows_the_newest_event_the_day_and_what_waits(
    store: SqlStore, log: SqliteLog, api: Api
) -> None:
    records = [Record("orders", "k", f"{n}", NOW_MS, {"shop": SHOP}, b"{}") for n in range(7)]
    await log.append(records)
    answer = await api.answer("/v1/rfm")
    since = answer["as_of"].pop("counting_since")
    assert 0 < answer["as_of"].pop("window_covered") <= 1
    assert since < "2024-11-04"
    assert answer["as_of"] == {
        "time": "2024-11-04T12:00:00.000Z",
        "event_time": "2024-11-04T11:59:59.000Z",
        "day": "2024-11-04",
        "lag_records": 2,
    }
    fold(store, [[order("new", customer="new", day=TODAY)]])
    with store.begin() as transaction:
        transaction.advance("orders", "orders", {0: Move(5, 7, 2)}, NOW_MS)
    after = await api.answer("/v1/rfm")
    assert after["customers"]["ever"] == answer["customers"]["ever"] + 1
    assert after["as_of"]["lag_records"] == 0


@ON_ONE_STORE
async def test_a_log_that_is_down_leaves_the_lag_unknown_and_the_answer_whole(
    log: SqliteLog, api: Api
) -> None:
    await log.close()
    for path in (
        "/v1/rfm",
        "/v1/rfm/customers",
        "/v1/carts",
        "/v1/budget",
        "/v1/capi",
        "/v1/status",
    ):
        answer = await api.answer(path)
        assert answer["as_of"]["lag_records"] is None


async def test_retry_sends_dead_events_again_by_filter(store: SqlStore, api: Api) -> None:
    with store.begin() as transaction:
        transaction.execute(
            "UPDATE outbox SET outcome = 'dead', due_ms = NULL, expires_ms = :later",
            later=NOW_MS + 1_000,
        )
    assert (await api.answer("/v1/capi/retry?subcode=1", method="POST", status=400))[
        "parameter"
    ] == "subcode"
    async with api.client.post("/v1/capi/retry", json={"order_ids": ["1"]}) as response:
        assert (await response.json())["retried"] == 0
    async with api.client.post("/v1/capi/retry", json={"orders": 1}) as response:
        assert (response.status, (await response.json())["parameter"]) == (400, "body")
    answer = await api.answer("/v1/capi/retry", method="POST")
    assert_envelope(answer)
    assert (answer["retried"], answer["probed"]) == (1, 0)
    assert (await api.answer("/v1/capi/orders/1001"))["outcome"] == "pending"


@ON_ONE_STORE
async def test_an_account_that_is_configured_no_longer_still_says_what_became_of_its_events(
    store: SqlStore, log: SqliteLog, api: Api
) -> None:
    with store.begin() as transaction:
        register(transaction, SHOP, "meta", "meta", capi_orders.PIXEL)
    new = ShownAccount(SHOP, "new", KINDS["meta"], "2", 0)
    async with serving(store, log, shops={SHOP: ShopAnswerSettings(accounts=(new,))}) as another:
        answers = [
            await another.answer(path)
            for path in (
                "/v1/capi?pixel=2",
                f"/v1/capi?pixel={capi_orders.PIXEL}",
                "/v1/destinations/new",
                "/v1/destinations/meta",
            )
        ]
        all_of_them = await another.answer("/v1/destinations")
    assert [answer["outcomes"]["pending"] for answer in answers] == [0, 1, 0, 1]
    assert [item["name"] for item in all_of_them["items"]] == ["new", "meta"]


@ON_ONE_STORE
async def test_answers_are_of_the_shops_day_where_its_orders_show_its_time_zone(
    store: SqlStore, api: Api
) -> None:
    with store.begin() as transaction:
        transaction.execute("UPDATE order_shop SET offset_s = :ahead", ahead=14 * 3_600)
    answers = [await api.answer(path) for path in ("/v1/carts", "/v1/capi", "/v1/status")]
    answers.append(await api.answer("/v1/capi/retry", method="POST"))
    assert {answer["as_of"]["day"] for answer in answers} == {day_text(TODAY + 1)}


@ON_ONE_STORE
async def test_a_shop_without_a_pixel_says_what_to_set(store: SqlStore, log: SqliteLog) -> None:
    async with serving(store, log, shops={SHOP: ShopAnswerSettings()}) as api:
        answer = await api.answer("/v1/capi")
    assert answer["pixel_id"] is None
    assert "META_PIXEL_ID" in answer["reason"]


@ON_ONE_STORE
@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/v1/rfm?shop=nobody.myshopify.com", 404, "unknown-shop"),
        ("/v1/rfm?colour=blue", 400, "bad-parameter"),
        ("/v1/rfm/customers?sort=luck", 400, "bad-parameter"),
        ("/v1/rfm/customers?segment=CHAMPIONS", 400, "bad-parameter"),
        ("/v1/rfm/customers?limit=0", 400, "bad-parameter"),
        ("/v1/rfm/customers?limit=1&limit=2", 400, "bad-parameter"),
        ("/v1/rfm/customers?format=csv&cursor=x", 400, "bad-parameter"),
        ("/v1/rfm/customers/nobody", 404, "not-found"),
        ("/v1/carts/open?cursor=x", 400, "bad-parameter"),
        ("/v1/carts/open?state=lost", 400, "bad-parameter"),
        ("/v1/budget?days=1", 400, "bad-parameter"),
        ("/v1/capi/orders/999", 404, "not-found"),
        ("/v1/capi?pixel=999", 404, "not-found"),
        ("/v1/destinations/nobody", 404, "not-found"),
        ("/v1/destinations/meta/orders/999", 404, "not-found"),
        ("/v1/nothing", 404, "not-found"),
    ],
)
async def test_what_cannot_be_answered_is_a_problem_with_a_next_step(
    api: Api, path: str, status: int, kind: str
) -> None:
    problem = await api.answer(path, status=status)
    assert (problem["status"], problem["type"]) == (status, f"/docs#{kind}")
    assert problem["title"]
    assert problem["detail"]
    assert problem["next_step"]
    if kind == "bad-parameter":
        assert problem["parameter"] in path
        assert problem["allowed"] or "colour" in path


@ON_ONE_STORE
async def test_a_problem_names_the_values_allowed(api: Api) -> None:
    problem = await api.answer("/v1/rfm/customers?sort=luck", status=400)
    assert (problem["parameter"], problem["allowed"]) == (
        "sort",
        ["recency", "frequency", "monetary"],
    )


@ON_ONE_STORE
async def test_other_methods_are_refused_with_those_allowed(api: Api) -> None:
    for method, path, allowed in (
        ("DELETE", "/v1/rfm", "GET, HEAD"),
        ("GET", "/v1/capi/retry", "POST"),
        ("HEAD", "/v1/capi/retry", "POST"),
    ):
        async with api.client.request(method, path) as response:
            assert (response.status, response.headers[hdrs.ALLOW]) == (405, allowed)


@ON_ONE_STORE
@pytest.mark.parametrize(
    "path",
    [
        "/v1/rfm",
        "/v1/carts",
        "/v1/rfm/customers?format=csv",
        "/healthz",
        "/readyz",
        "/metrics",
        "/docs",
        "/no",
    ],
)
async def test_head_answers_as_get_without_the_body(api: Api, path: str) -> None:
    async def get() -> tuple[int, str]:
        async with api.client.get(path) as whole:
            await whole.read()
            return whole.status, whole.content_type

    settled, found = None, await get()
    while settled != found:  # Readiness may come between two looks.
        async with api.client.head(path) as head:
            shown = (head.status, head.content_type, await head.read())
        settled, found = found, await get()
    assert shown == (*found, b"")
    async with api.client.get("/healthz") as response:
        assert response.status == 200


@ON_ONE_STORE
@pytest.mark.parametrize("days", ["--30", "-", "3-0", "1e2", "٣٠", "9" * 30, "", "6", "367"])
async def test_what_is_no_whole_number_in_range_gets_the_range(api: Api, days: str) -> None:
    problem = await api.answer("/v1/budget", {"days": days}, status=400)
    assert (problem["detail"], problem["allowed"]) == (
        "days is not a whole number from 7 to 366",
        "7 to 366",
    )


@ON_ONE_STORE
@pytest.mark.parametrize(
    ("path", "step"),
    [
        ("/v1/budget", "leave colour out; there are: days"),
        ("/v1/rfm", "leave colour out: this path takes none of its own"),
    ],
)
async def test_an_unknown_parameter_is_refused(api: Api, path: str, step: str) -> None:
    assert (await api.answer(path, {"colour": "blue"}, status=400))["next_step"] == step


@ON_ONE_STORE
async def test_one_shop_goes_without_saying_and_of_several_one_is_named(
    store: SqlStore, log: SqliteLog
) -> None:
    two = dict.fromkeys((SHOP, "other.myshopify.com"), SETTINGS.shops[SHOP])
    async with serving(store, log, shops=two) as api:
        problem = await api.answer("/v1/rfm", status=400)
        assert problem["allowed"] == sorted(two)
        assert (await api.answer("/v1/rfm", {"shop": "OTHER.myshopify.com"}))[
            "shop"
        ] == "other.myshopify.com"
        assert (await api.answer("/v1/status"))["shop"] is None
    async with serving(store, log, shops={}) as api:
        assert "SHOPIFY_SHOP" in (await api.answer("/v1/rfm", status=404))["next_step"]


@ON_ONE_STORE
async def test_every_answer_carries_the_headers_that_protect_it(api: Api) -> None:
    for path in (
        "/v1/rfm",
        "/v1/nothing",
        "/docs",
        "/",
        "/healthz",
        "/v1/rfm/customers?format=csv",
    ):
        async with api.client.get(path) as response:
            assert {name: response.headers[name] for name in HEADERS} == HEADERS
            assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")


@ON_ONE_STORE
async def test_a_store_that_is_away_is_a_503_to_try_again(log: SqliteLog, store: SqlStore) -> None:
    class Away:
        dialect = store.dialect
        begin = store.begin

        def snapshot(self) -> Any:
            raise StoreUnavailable("gone: password=hush")

        def close(self) -> None: ...

    async with serving(Away(), log) as api:
        for path in ("/v1/rfm", "/v1/carts", "/v1/status"):
            problem = await api.answer(path, status=503)
            assert "hush" not in str(problem)
        assert (await api.answer("/readyz", status=503))["reasons"][
            0
        ] == "the store does not answer"


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


@ON_ONE_STORE
async def test_it_is_said_why_predictions_are_withheld(store: SqlStore, log: SqliteLog) -> None:
    fill(store)
    async with serving(store, log) as api:
        answer = await api.answer("/v1/capi")
        assert answer["predicted_ltv"] == {
            "wanted": False,
            "sent": False,
            "reason": "META_SEND_PREDICTED_LTV is off",
        }
    wanting = replace(SETTINGS.shops[SHOP], sends_predicted_ltv=True)
    async with serving(store, log, shops={SHOP: wanting}) as api:
        answer = await api.answer("/v1/capi")
        rfm = await api.answer("/v1/rfm")
    withheld = rfm["ltv_first_orders"]["reason"]
    assert withheld
    assert answer["predicted_ltv"] == {"wanted": True, "sent": False, "reason": withheld}
