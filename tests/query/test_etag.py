"""A client that polls is given an answer once, until it changes."""

import pytest
from aiohttp import hdrs

from stream.log.sqlite.log import SqliteLog
from stream.store.sql.store import SqlStore
from tests.support.api.api_client import NOW_MS, fold, serving
from tests.support.shopify.orders import order

pytestmark = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


async def test_an_unchanged_answer_is_304_whenever_it_is_asked_for(
    store: SqlStore, log: SqliteLog
) -> None:
    now_ms = [NOW_MS]
    fold(store, [[order("1", customer="7")]])
    async with serving(store, log, clock=lambda: now_ms[0]) as api:
        async with api.client.get("/v1/rfm") as answer:
            etag = answer.headers[hdrs.ETAG]
        now_ms[0] += 1_000
        known = {hdrs.IF_NONE_MATCH: etag}
        async with api.client.get("/v1/rfm", headers=known) as answer:
            assert answer.status == 304
            assert answer.headers[hdrs.ETAG] == etag
            assert await answer.read() == b""
        fold(store, [[order("2", customer="8")]])
        async with api.client.get("/v1/rfm", headers=known) as answer:
            assert answer.status == 200
            assert answer.headers[hdrs.ETAG] != etag


async def test_other_tags_and_other_paths_are_answered(store: SqlStore, log: SqliteLog) -> None:
    async with serving(store, log) as api:
        async with api.client.get("/v1/rfm") as answer:
            etag = answer.headers[hdrs.ETAG]
        for headers, status in (
            ({hdrs.IF_NONE_MATCH: '"another"'}, 200),
            ({hdrs.IF_NONE_MATCH: f'"another", {etag}'}, 304),
            ({hdrs.IF_NONE_MATCH: "*"}, 304),
            ({hdrs.IF_NONE_MATCH: "not a tag"}, 200),
        ):
            async with api.client.get("/v1/rfm", headers=headers) as answer:
                assert answer.status == status
        async with api.client.get("/v1/carts", headers={hdrs.IF_NONE_MATCH: etag}) as answer:
            assert answer.status == 200
