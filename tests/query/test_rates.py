"""A token may ask so often; another one, and who needs none, is not concerned."""

import pytest

from query.auth import Reach
from query.problem import Problem
from query.rates import RequestRates
from stream.log.sqlite.log import SqliteLog
from stream.store.sql.store import SqlStore
from tests.support.api.api_client import serving
from tests.support.shopify.orders import SHOP

RESTS_S = 0.5


def refused(rates: RequestRates, token: bytes, times: int) -> int:
    found = 0
    for _ in range(times):
        try:
            rates.take(token)
        except Problem:
            found += 1
    return found


def test_a_burst_is_taken_and_then_so_many_a_second() -> None:
    now_s = [100.0]
    rates = RequestRates(10.0, lambda: now_s[0])
    assert refused(rates, b"a", 45) == 5
    assert refused(rates, b"b", 40) == 0
    now_s[0] += RESTS_S
    assert refused(rates, b"a", 7) == 2
    now_s[0] += 1_000.0
    assert refused(rates, b"a", 41) == 1


def test_without_a_token_or_a_limit_nobody_is_refused() -> None:
    assert refused(RequestRates(1.0, lambda: 0.0), b"", 100) == 0
    assert refused(RequestRates(0.0, lambda: 0.0), b"a", 100) == 0


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_too_many_requests_of_a_token_say_when_to_ask_again(
    store: SqlStore, log: SqliteLog
) -> None:
    tokens = {"busy": Reach(frozenset({SHOP})), "calm": Reach(frozenset({SHOP}))}
    async with serving(store, log, tokens=tokens, requests_per_s=0.5, token="busy") as api:
        for _ in range(2):
            await api.answer("/v1/capi")
        problem = await api.answer("/v1/capi", status=429)
        assert problem["type"] == "/docs#too-many-requests"
        assert "/v1/events" in problem["next_step"]
        await api.answer("/v1/capi", headers={"Authorization": "Bearer calm"})
        await api.answer("/healthz")
