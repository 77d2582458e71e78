"""Who may ask what: tokens, their shops, and what protects a listener that has none."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import hdrs

from query.auth import ApiTokens, Reach, Unprotected, check_bind, parse_tokens
from query.route import ApiRoute, Asked
from stream.log.sqlite.log import SqliteLog
from stream.store.sql.store import SqlStore
from tests.support.api.api_client import SETTINGS, Api, serving
from tests.support.shopify.orders import SHOP

OTHER = "other.myshopify.com"
TOKENS = parse_tokens(f"everything, one={SHOP}, both={SHOP}+{OTHER}")
SHOPS = dict.fromkeys((SHOP, OTHER), SETTINGS.shops[SHOP])
pytestmark = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)


@pytest.fixture
async def api(store: SqlStore, log: SqliteLog) -> AsyncIterator[Api]:
    async with serving(store, log, shops=SHOPS, tokens=TOKENS) as running:
        yield running


@pytest.mark.parametrize(
    ("token", "path", "status"),
    [
        ("", f"/v1/rfm?shop={SHOP}", 401),
        ("wrong", f"/v1/rfm?shop={SHOP}", 401),
        ("everythin", f"/v1/rfm?shop={SHOP}", 401),
        ("everything", f"/v1/rfm?shop={SHOP}", 200),
        ("everything", "/v1/rfm", 400),
        ("everything", "/v1/rfm?shop=nobody.myshopify.com", 404),
        ("everything", "/metrics", 200),
        ("one", "/v1/rfm", 200),
        ("one", f"/v1/rfm?shop={SHOP}", 200),
        ("one", f"/v1/rfm?shop={OTHER}", 403),
        ("one", "/v1/rfm?shop=nobody.myshopify.com", 403),
        ("one", f"/v1/capi/orders/1?shop={OTHER}", 403),
        ("one", "/v1/status", 200),
        ("one", f"/v1/status?shop={OTHER}", 403),
        ("one", "/metrics", 403),
        ("both", f"/v1/carts?shop={OTHER}", 200),
        ("both", "/v1/carts", 400),
        ("", "/metrics", 401),
        ("", "/v1/status", 401),
        ("", "/healthz", 200),
        ("", "/docs", 200),
        ("", "/openapi.json", 200),
    ],
)
async def test_a_token_reaches_what_it_is_for(api: Api, token: str, path: str, status: int) -> None:
    headers = {hdrs.AUTHORIZATION: f"Bearer {token}"} if token else {}
    async with api.client.get(path, headers=headers) as response:
        assert response.status == status
        if status == 401:
            assert response.headers[hdrs.WWW_AUTHENTICATE].startswith("Bearer")
        if token and status != 200:
            assert token not in (await response.text()).replace("token", "").split('"')


@pytest.mark.parametrize(
    "header", ["everything", "Basic everything", "Bearer", "Bearer ", "bearer everything"]
)
async def test_only_the_bearer_scheme_counts_in_any_case(api: Api, header: str) -> None:
    async with api.client.get(
        f"/v1/rfm?shop={SHOP}", headers={hdrs.AUTHORIZATION: header}
    ) as response:
        assert response.status == (200 if header == "bearer everything" else 401)


async def test_a_retry_is_for_tokens_of_its_shop(api: Api) -> None:
    for token, shop, status in (("", SHOP, 401), ("one", OTHER, 403), ("one", SHOP, 200)):
        headers = {hdrs.AUTHORIZATION: f"Bearer {token}"} if token else {}
        async with api.client.post(f"/v1/capi/retry?shop={shop}", headers=headers) as response:
            assert response.status == status


async def test_the_document_says_that_a_token_is_needed(api: Api) -> None:
    async with api.client.get("/openapi.json") as response:
        document = await response.json()
    assert document["paths"]["/v1/rfm"]["get"]["security"] == [{"bearer": []}]
    assert document["paths"]["/healthz"]["get"]["security"] == []


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8080", 200),
        ("localhost", 200),
        ("[::1]:8080", 200),
        ("127.9.9.9", 200),
        ("inside.example", 200),
        ("evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("localhost.evil.example:8080", 403),
        ("", 403),
    ],
)
async def test_without_a_token_the_host_must_be_this_machine(
    store: SqlStore, log: SqliteLog, host: str, status: int
) -> None:
    async with (
        serving(store, log, hosts=frozenset({"inside.example"})) as api,
        api.client.get("/v1/rfm", headers={hdrs.HOST: host}) as response,
    ):
        assert response.status == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [("https://evil.example", 403), ("null", 403), ("http://localhost:8080", 200), (None, 200)],
)
async def test_another_web_page_cannot_send_events_again(
    store: SqlStore, log: SqliteLog, origin: str | None, status: int
) -> None:
    headers = {hdrs.HOST: "localhost:8080"} | ({hdrs.ORIGIN: origin} if origin else {})
    async with (
        serving(store, log) as api,
        api.client.post("/v1/capi/retry", headers=headers) as response,
    ):
        assert response.status == status


async def test_more_routes_are_authorised_alike_and_may_replace_one(
    store: SqlStore, log: SqliteLog
) -> None:
    async def hello(asked: Asked) -> dict[str, str]:
        return {"hello": asked.shop}

    more = (
        ApiRoute("GET", "/v1/hello", "Hello", hello),
        ApiRoute("GET", "/", "Mine", hello, "open"),
    )
    async with serving(store, log, tokens=TOKENS, more=more) as api:
        await api.answer("/v1/hello", status=401)
        api.token = "one"
        assert await api.answer("/v1/hello") == {"hello": SHOP}
        assert await api.answer("/") == {"hello": ""}


def test_tokens_are_read_from_one_setting(store_url: str) -> None:
    assert parse_tokens("") == {}
    assert parse_tokens(" a , b=X.myshopify.com + y.myshopify.com ,") == {
        "a": Reach(),
        "b": Reach(frozenset({"x.myshopify.com", "y.myshopify.com"})),
    }


@pytest.mark.parametrize("text", ["=shop", "secret=", "secret, secret", "secret=+"])
def test_a_setting_that_is_not_tokens_is_refused_without_showing_them(
    store_url: str, text: str
) -> None:
    with pytest.raises(ValueError, match="token number") as refused:
        parse_tokens(text)
    assert "secret" not in str(refused.value)


def test_a_token_is_known_or_not(store_url: str) -> None:
    tokens = ApiTokens({"known": Reach()})
    assert tokens.reach("known") == Reach()
    assert tokens.reach("") is None
    assert tokens.reach("\udcff") is None
    assert tokens
    assert not ApiTokens({})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.2", "example.com"])
def test_without_a_token_the_listener_stays_on_this_machine(store_url: str, host: str) -> None:
    with pytest.raises(Unprotected, match="ORDERWIRE_API_TOKENS"):
        check_bind(host, {})
    check_bind(host, TOKENS)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]"])
def test_loopback_needs_no_token(store_url: str, host: str) -> None:
    check_bind(host, {})
