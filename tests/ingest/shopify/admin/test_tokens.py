"""Tokens that are asked for and renewed: in time, on 401, once, and never lost by a crash."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from ingest.shopify.admin.client import AdminClient
from ingest.shopify.admin.errors import TokenRefused
from ingest.shopify.admin.token_pair import CLAIM_S, StoredPair, TokenPair
from ingest.shopify.admin.tokens import ClientCredentials, Grant, RefreshedToken, Tokens
from simulator.admin.access import Access
from simulator.admin.stand_in import AdminStandIn
from stream.store.sql.store import SqlStore
from tests.support.shopify.admin_shop import SHOP, books

SHOP_QUERY = "query Shop { shop { name } }"


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def grant(admin: AdminStandIn, secret: str = "client-secret") -> Grant:
    return Grant(f"{admin.url}/admin/oauth/access_token", "client-id", secret)


async def ask(admin: AdminStandIn, tokens: Tokens) -> str:
    made = AdminClient(f"{admin.url}/admin/api/2026-10/graphql.json", tokens, patience_s=5)
    try:
        return str((await asyncio.to_thread(made.query, SHOP_QUERY))["shop"]["name"])
    finally:
        made.close()


async def in_thread(call: Callable[[], str]) -> str:
    return await asyncio.to_thread(call)


async def test_client_credentials_are_asked_for_once_and_again_at_80_percent_of_their_life(
    clock: Clock,
) -> None:
    access = Access(clock)
    async with AdminStandIn(books(0), access=access, clock=clock) as admin:
        tokens = ClientCredentials(grant(admin), clock=clock)
        first = await in_thread(tokens.token)
        clock.now_s += 0.79 * 86_399
        assert await in_thread(tokens.token) == first
        clock.now_s += 0.02 * 86_399
        assert await in_thread(tokens.token) != first
    assert access.asked == 2


async def test_a_token_refused_before_its_time_is_asked_for_anew(clock: Clock) -> None:
    access = Access(clock)
    async with AdminStandIn(books(0), access=access, clock=clock) as admin:
        tokens = ClientCredentials(grant(admin), clock=clock)
        await ask(admin, tokens)
        access.revoke()
        assert await ask(admin, tokens) == "example"
    assert access.asked == 2


async def test_a_wrong_client_secret_is_configuration_and_is_not_shown(clock: Clock) -> None:
    async with AdminStandIn(books(0), access=Access(clock)) as admin:
        with pytest.raises(TokenRefused, match="SHOPIFY_CLIENT_SECRET") as refused:
            await ask(admin, ClientCredentials(grant(admin, "not-it"), clock=clock))
    assert "not-it" not in str(refused.value)


async def test_an_expiring_token_is_refreshed_and_the_next_process_goes_on_with_its_pair(
    store: SqlStore, clock: Clock
) -> None:
    access = Access(clock)
    async with AdminStandIn(books(0), access=access, clock=clock) as admin:

        def process() -> RefreshedToken:
            pairs = StoredPair(store, SHOP, "refresh-0", clock=clock)
            return RefreshedToken(grant(admin), pairs, clock=clock)

        first = process()
        assert await ask(admin, first) == "example"
        assert await ask(admin, process()) == "example"
        assert access.asked == 1
        for _ in range(3):
            clock.now_s += 3_000
            assert await ask(admin, process()) == "example"
        assert access.asked == 4
        # The first process has an old pair in memory, whose refresh token is spent.
        assert await ask(admin, first) == "example"
        assert access.asked == 4


async def test_a_pair_is_stored_before_it_is_used(store: SqlStore, clock: Clock) -> None:
    async with AdminStandIn(books(0), access=Access(clock), clock=clock) as admin:
        pairs = StoredPair(store, SHOP, "refresh-0", clock=clock)
        token = await in_thread(RefreshedToken(grant(admin), pairs, clock=clock).token)
    stored = StoredPair(store, SHOP, "refresh-0").load()
    assert stored is not None
    assert (stored.access_token, stored.refresh_token) == (token, "refresh-1")


async def test_a_process_that_dies_while_refreshing_is_followed_by_another(
    store: SqlStore, clock: Clock
) -> None:
    pairs = StoredPair(store, SHOP, "refresh-0", clock=clock)
    # A process that is killed leaves its claim behind.
    row, _ = pairs._claim(None)
    assert row is not None
    clock.now_s += CLAIM_S + 1
    async with AdminStandIn(books(0), access=Access(clock), clock=clock) as admin:
        assert await ask(admin, RefreshedToken(grant(admin), pairs, clock=clock)) == "example"


async def test_many_threads_and_processes_refresh_once(store: SqlStore, clock: Clock) -> None:
    access = Access(clock)
    async with AdminStandIn(books(0), access=access, clock=clock) as admin:
        found: list[str] = []

        def process() -> None:
            pairs = StoredPair(store, SHOP, "refresh-0", clock=clock)
            found.append(RefreshedToken(grant(admin), pairs, clock=clock).token())

        threads = [threading.Thread(target=process) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)
    assert len(found) == 4
    assert len(set(found)) == 1
    assert access.asked == 1


async def test_a_refresh_token_set_anew_begins_anew(store: SqlStore, clock: Clock) -> None:
    access = Access(clock)
    async with AdminStandIn(books(0), access=access, clock=clock) as admin:
        for configured in ("refresh-0", "another"):
            access.first_refresh = configured
            pairs = StoredPair(store, SHOP, configured, clock=clock)
            assert await ask(admin, RefreshedToken(grant(admin), pairs, clock=clock)) == "example"
    assert access.asked == 2


def test_nothing_that_holds_a_secret_shows_it() -> None:
    shown = repr([Grant("https://x", "id", "s3cret"), TokenPair("s3cret", "s3cret", 1)])
    assert "s3cret" not in shown
