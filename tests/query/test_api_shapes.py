"""Answers have the fields of docs/api.md, `shop` and `as_of`; errors are problem documents."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import hdrs

from destinations.delivery.answer import ShownAccount
from destinations.delivery.ledger import register
from destinations.registry import KINDS
from query.api_settings import ShopAnswerSettings
from stream.log.sqlite.log import SqliteLog
from stream.record import Record
from stream.store.contract import Move
from stream.store.sql.store import SqlStore
from stream.times import day_text
from tests.support.api.api_client import NOW_MS, ON_ONE_STORE, SETTINGS, TODAY, Api, fold, serving
from tests.support.api.api_shop import fill
from tests.support.delivery import capi_orders
from tests.support.shopify.orders import SHOP, order

Json = dict[str, Any]
EXAMPLES = (Path(__file__).parents[2] / "docs/api.md").read_text()
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    hdrs.CACHE_CONTROL: "no-store",
}


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
