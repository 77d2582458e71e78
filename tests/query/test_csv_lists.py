"""Lists as CSV: every one of them, all pages, and no text that a spreadsheet would run."""

import csv
import io
from collections.abc import AsyncIterator
from typing import Any

import pytest

from aggregates.days.answer.schema import Day
from query.csv_lists import columns, list_of, row, wants_csv
from query.endpoints.table import ROUTES
from stream.log.sqlite.log import SqliteLog
from stream.store.sql.store import SqlStore
from tests.support.api.api_client import Api, serving
from tests.support.api.api_shop import fill

ON_ONE_STORE = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
LISTS = (
    *("/v1/rfm/customers", "/v1/carts/open", "/v1/days", "/v1/days?by=campaign"),
    *("/v1/rfm/moves", "/v1/rfm/cohorts?by=channel", "/v1/destinations", "/v1/statement"),
)


@pytest.fixture
async def api(store: SqlStore, log: SqliteLog) -> AsyncIterator[Api]:
    fill(store)
    async with serving(store, log) as running:
        yield running


async def table(api: Api, path: str) -> list[dict[str, str]]:
    async with api.client.get(path, headers={"Accept": "text/csv"}) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/csv"
        return list(csv.DictReader(io.StringIO(await answer.text())))


def test_every_list_is_among_these() -> None:
    lists = {route.path for route in ROUTES if list_of(route) is not None}
    assert lists == {path.partition("?")[0] for path in LISTS}


@ON_ONE_STORE
async def test_a_list_has_as_many_lines_as_items_and_the_same_money(api: Api) -> None:
    for path in LISTS:
        await same(api, path)


async def same(api: Api, path: str) -> None:
    items = (await api.answer(path))["items"]
    async with api.client.get(path, params={"limit": 1}) as answer:
        following = (await answer.json())["next_cursor"]
    assert (following is not None) == (len(items) > 1)
    lines = await table(api, path)
    more = [] if "customers" in path else await table(api, path + "&limit=1" * ("?" in path))
    assert len(lines) == len(items)
    if "revenue" in (items or [{}])[0]:
        assert [line["revenue"] for line in lines] == [each["revenue"]["amount"] for each in items]
        assert {line["revenue_currency"] for line in lines} == {"USD"}
        assert more == lines


@ON_ONE_STORE
async def test_pages_put_together_are_the_whole_list(api: Api) -> None:
    for path in LISTS:
        await whole_list(api, path)


async def whole_list(api: Api, path: str) -> None:
    whole = (await api.answer(path))["items"][:40]
    found, cursor = list[Any](), None
    while len(found) < len(whole):
        query = {"limit": 7} | ({"cursor": cursor} if cursor else {})
        async with api.client.get(path, params=query) as answer:
            page = await answer.json()
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert found[: len(whole)] == whole


@ON_ONE_STORE
async def test_a_cursor_that_no_list_gave_out_is_refused(api: Api) -> None:
    for path in LISTS:
        for cursor in ("x", "!!", "bnVsbA", "e30"):
            async with api.client.get(path, params={"cursor": cursor}) as answer:
                found = await answer.json()
            assert (answer.status, found["parameter"]) == (400, "cursor"), path
            assert found["next_step"]


@ON_ONE_STORE
async def test_a_cursor_of_another_list_is_never_our_mistake(api: Api) -> None:
    for path in LISTS:
        for cursor in ("WzFd", "WyJhIiwyXQ", "W10", "WzEsMiwzXQ"):
            async with api.client.get(path, params={"cursor": cursor}) as answer:
                assert answer.status in (200, 400), path


def test_a_text_that_a_spreadsheet_would_run_is_quoted() -> None:
    item = Day(day="2026-11-26", by={"campaign": "=HYPERLINK(1)"}, roas=-0.5)
    found = dict(zip(columns(Day), row(item, columns(Day)), strict=True))
    shown = {column.name: value for column, value in found.items()}
    assert shown["by"] == "'=HYPERLINK(1)"
    assert shown["roas"] == -0.5
    assert shown["revenue"] == shown["revenue_currency"] == ""


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("text/csv", True),
        ("text/csv, */*;q=0.1", True),
        ("application/json, text/csv;q=0.5", False),
        ("text/csv;q=0.9, application/json;q=0.2", True),
        ("*/*", False),
        ("text/csv;q=x", False),
        ("", False),
    ],
)
def test_csv_is_for_who_prefers_it(accept: str, wanted: bool) -> None:
    assert wants_csv(accept) is wanted
