"""What cannot be answered is a problem document with a next step."""

from typing import Any

import pytest
from aiohttp import hdrs

from stream.log.sqlite.log import SqliteLog
from stream.store.contract import StoreUnavailable
from stream.store.sql.store import SqlStore
from tests.support.api.api_client import ON_ONE_STORE, SETTINGS, Api, serving
from tests.support.shopify.orders import SHOP


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
