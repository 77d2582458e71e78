"""A receiver of webhooks has a public address, unless the shop's settings allow another."""

from collections.abc import AsyncIterator, Sequence
from socket import AF_INET, AddressFamily

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from destinations.delivery.account import Account, SettingsError
from destinations.delivery.public_address import is_public
from destinations.delivery.sending.sender import OutboxSender
from destinations.delivery.transport import (
    Call,
    NotPublic,
    PublicResolver,
    aiohttp_call,
    client_session,
)
from simulator.webhook.receiver import WebhookReceiver
from stream.store.sql.store import SqlStore
from tests.contracts.destination_kit import destination_of, processor_of, rows
from tests.support.delivery.capi_orders import NOW_MS, SHOP, seen
from tests.support.delivery.webhooks import SECRET, settings

PRIVATE = (
    *("127.0.0.1", "10.0.0.8", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254"),
    *("0.0.0.0", "224.0.0.1", "::1", "fe80::1", "fd00::8"),
    *("::ffff:10.0.0.8", "2002:a00:8::1"),
)
"""RFC 6890's ranges, a cloud's metadata service, and private addresses inside IPv6."""
PUBLIC = ("8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8")


@pytest.fixture
async def call() -> AsyncIterator[Call]:
    async with client_session(public_only=True) as session:
        yield aiohttp_call(session, public_only=True)


@pytest.fixture
async def receiver() -> AsyncIterator[WebhookReceiver]:
    """On loopback, which is private."""
    async with WebhookReceiver((SECRET,)) as found:
        yield found


@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_public_is_refused_by_the_settings(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(SettingsError, match="private address"):
        settings(f"https://{host}/orders")
    settings(f"https://{host}/orders", allow_private_addresses=True)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_taken(address: str) -> None:
    assert is_public(address)
    settings(f"https://[{address}]/orders" if ":" in address else f"https://{address}/orders")


async def test_a_url_of_a_private_address_is_not_called(
    call: Call, receiver: WebhookReceiver
) -> None:
    with pytest.raises(NotPublic):
        await call("POST", receiver.url, {}, b"{}", 5)
    assert receiver.requests == 0


async def test_a_name_that_resolves_to_a_private_address_is_not_called(
    call: Call, receiver: WebhookReceiver
) -> None:
    # No IP address by its spelling, and yet the resolver makes 127.0.0.1 of it.
    with pytest.raises(NotPublic):
        await call("POST", receiver.url.replace("127.0.0.1", "0x7f000001"), {}, b"{}", 5)
    assert receiver.requests == 0


class Resolved(AbstractResolver):
    """A name server with these addresses for every name."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: AddressFamily = AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=one, port=port, family=family, proto=0, flags=0)
            for one in self.addresses
        ]

    async def close(self) -> None:
        """Holds nothing."""


async def test_of_a_names_addresses_only_public_ones_are_connected_to() -> None:
    found = await PublicResolver(Resolved([*PRIVATE, *PUBLIC])).resolve("hooks.example.com", 443)
    assert [each["host"] for each in found] == list(PUBLIC)


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_events_for_a_private_address_wait_and_the_account_says_why(
    store: SqlStore, call: Call, receiver: WebhookReceiver
) -> None:
    host = receiver.url.split("/")[2].replace("127.0.0.1", "0x7f000001")
    account = Account(SHOP, "warehouse", "webhook", settings(f"https://{host}/orders"))
    with store.begin() as transaction:
        processor_of(account).apply(transaction, [seen()], NOW_MS)

    async def unreached(*_: object, **__: object) -> None:
        raise AssertionError("the call for any address was used")

    await OutboxSender(
        store,
        [destination_of(account)],
        unreached,  # type: ignore[arg-type]
        public_call=call,
        clock_ms=lambda: NOW_MS,
        steady_ms=lambda: NOW_MS,
    ).drain()
    assert receiver.requests == 0
    assert [(row.event_name, row.outcome) for row in rows(store)] == [("order.paid", "pending")]
    with store.snapshot() as snapshot:
        (paused,) = snapshot.query(
            "SELECT paused_since_ms, paused_message FROM destination_account"
        )
    assert paused.paused_since_ms == NOW_MS
    assert "no public address" in paused.paused_message
