"""The dashboard's frame over HTTP: policy, files, sign-in."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import hdrs

from query.auth import COOKIE, Reach
from query.dashboard.page import PLOTLY, STATIC, file, plotly_styles, version
from stream.log.sqlite.log import SqliteLog
from stream.store.sql.store import SqlStore
from tests.support.api.api_client import Api, serving
from tests.support.shopify.orders import SHOP

TOKEN = "a token of ours"
ONE_STORE = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


@pytest.fixture
async def api(store: SqlStore, log: SqliteLog) -> AsyncIterator[Api]:
    async with serving(store, log) as running:
        yield running


@pytest.fixture
async def secured(store: SqlStore, log: SqliteLog) -> AsyncIterator[Api]:
    async with serving(store, log, tokens={TOKEN: Reach(frozenset({SHOP}))}) as running:
        yield running


@ONE_STORE
async def test_the_page_runs_its_own_scripts_and_nothing_else(api: Api) -> None:
    async with api.client.get("/") as answer:
        text, policy = await answer.text(), answer.headers["Content-Security-Policy"]
        assert answer.status == 200
    nonce = policy.split("'nonce-")[1].split("'")[0]
    assert f'nonce="{nonce}" src="/static/{version()}/app.js"' in text
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "script-src 'nonce-" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    assert "http" not in text.replace("http-equiv", "")
    async with api.client.get("/") as again:
        assert nonce not in await again.text(), "a nonce is used once"


@ONE_STORE
@pytest.mark.parametrize("name", [*STATIC, PLOTLY])
async def test_files_are_kept_by_browsers_until_their_content_changes(api: Api, name: str) -> None:
    path = f"/static/{version()}/{name}"
    async with api.client.get(path) as answer:
        body, etag = await answer.read(), answer.headers[hdrs.ETAG]
        assert answer.status == 200
        assert "immutable" in answer.headers[hdrs.CACHE_CONTROL]
    assert body == file(name).body
    async with api.client.get(path, headers={hdrs.IF_NONE_MATCH: etag}) as answer:
        assert answer.status == 304


@ONE_STORE
async def test_a_file_that_is_not_the_pages_is_not_served(api: Api) -> None:
    for name in ("page.py", "..%2fpage.py", "%2e%2e/page.py"):
        async with api.client.get(f"/static/{version()}/{name}") as answer:
            assert answer.status == 404


@ONE_STORE
async def test_the_first_paint_is_small(api: Api) -> None:
    async with api.client.get("/") as answer:
        size = len(await answer.read())
    size += sum(len(file(name).body) for name in STATIC)
    assert size < 150_000


@ONE_STORE
async def test_with_tokens_the_page_asks_for_one_and_keeps_it_from_scripts(secured: Api) -> None:
    async with secured.client.get("/") as answer:
        assert answer.status == 401
        assert 'action="/sign-in"' in await answer.text()
    async with secured.client.post("/sign-in", data={"token": "wrong"}) as answer:
        assert answer.status == 401
        assert COOKIE not in answer.cookies
    async with secured.client.post(
        "/sign-in", data={"token": TOKEN}, allow_redirects=False
    ) as answer:
        assert answer.status == 303
        cookie = answer.cookies[COOKIE]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Strict"
    async with secured.client.get("/") as answer:
        assert answer.status == 200
        assert SHOP in await answer.text()
    await secured.answer("/v1/rfm")
    async with secured.client.post("/sign-out", allow_redirects=False) as answer:
        assert answer.status == 303
    await secured.answer("/v1/rfm", status=401)


@ONE_STORE
async def test_another_web_page_cannot_use_the_cookie(secured: Api) -> None:
    await secured.client.post("/sign-in", data={"token": TOKEN})
    elsewhere = {"Origin": "https://elsewhere.example"}
    await secured.answer("/v1/capi/retry", method="POST", headers=elsewhere, status=403)
    await secured.answer("/v1/rfm", headers={"Authorization": "Bearer wrong"}, status=401)


def test_plotly_finds_every_style_element_that_it_would_make() -> None:
    made = file(PLOTLY).body.count(b'createElement("style")')
    assert made == len(plotly_styles())
