"""`orderwire subscribe` against the stand-in for the Admin API."""

import asyncio
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from orderwire.cli import app
from orderwire.operation.shopify.subscribing import address
from orderwire.serve.start.connections import open_store
from orderwire.settings.program import Settings
from simulator.admin.stand_in import AdminStandIn
from tests.support.servers.migrated_store import write_migrated
from tests.support.shopify.admin_client import books
from tests.support.shopify.twin_orders import SHOP

URL = "https://orders.example/webhooks/shopify"
runner = CliRunner()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORDERWIRE_STORE_URL", write_migrated(tmp_path / "state.db"))
    monkeypatch.setenv("SHOPIFY_SHOP", SHOP)
    monkeypatch.setenv("SHOPIFY_WEBHOOK_SECRET", "secret")


async def run(*arguments: str) -> Any:
    return await asyncio.to_thread(runner.invoke, app, ["subscribe", *arguments])


def kept() -> str | None:
    store = open_store(Settings.load())
    try:
        with store.snapshot() as snapshot:
            found = address(snapshot, SHOP)
            return None if found is None else found.uri
    finally:
        store.close()


async def test_a_shop_is_subscribed_once_and_the_second_time_nothing_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SHOPIFY_ADMIN_TOKEN", "shpat_static")
    async with AdminStandIn(books()) as admin:
        monkeypatch.setenv("SHOPIFY_ADMIN_URL", admin.url)
        dry = await run("--url", URL, "--dry-run")
        assert dry.exit_code == 0, dry.output
        assert "would create" in dry.stdout
        assert "orders/create" in dry.stdout
        assert admin.books.subscriptions == {}
        done = await run("--url", URL)
        assert done.exit_code == 0, done.output
        subscribed = dict(admin.books.subscriptions)
        assert {each["uri"] for each in subscribed.values()} == {URL}
        again = await run("--url", f"{URL}/")
        assert "as they should be" in again.stdout
        assert admin.books.subscriptions == subscribed
        assert await asyncio.to_thread(kept) == URL
        gone = await run("--url", URL, "--remove")
        assert gone.exit_code == 0, gone.output
        assert admin.books.subscriptions == {}
        assert await asyncio.to_thread(kept) is None


async def test_a_refusal_is_shown_beside_its_topic_and_is_the_exit_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SHOPIFY_ADMIN_TOKEN", "shpat_static")
    async with AdminStandIn(books()) as admin:
        admin.access.approved = False
        monkeypatch.setenv("SHOPIFY_ADMIN_URL", admin.url)
        done = await run("--url", URL)
    assert done.exit_code == 1
    assert "not approved" in done.output
    assert "app/uninstalled" in done.output


async def test_the_toml_can_be_piped_into_a_file() -> None:
    done = await run("--url", URL, "--toml")
    assert done.exit_code == 0, done.output
    assert tomllib.loads(done.stdout)["events"]["subscription"]


async def test_a_merchant_without_an_app_is_shown_the_forms() -> None:
    by_hand = await run("--url", URL, "--by-hand")
    assert by_hand.exit_code == 0, by_hand.output
    assert "Order creation" in by_hand.stdout
    without = await run("--url", URL)
    assert without.exit_code == 1
    assert "Order creation" in without.stdout
    assert "SHOPIFY_ADMIN_TOKEN" in without.output


@pytest.mark.parametrize("url", ["", "http://h/webhooks/shopify", "https://h"])
async def test_without_a_good_address_it_says_what_to_write(url: str) -> None:
    done = await run("--url", url)
    assert done.exit_code == 1
    assert "https" in done.output


@pytest.mark.parametrize(
    ("webhook_secret", "warning"),
    [("secret", "add it to SHOPIFY_WEBHOOK_SECRET"), ("secret,client-secret", "")],
)
async def test_a_secret_that_would_refuse_the_app_s_deliveries_is_pointed_out(
    monkeypatch: pytest.MonkeyPatch, webhook_secret: str, warning: str
) -> None:
    monkeypatch.setenv("SHOPIFY_WEBHOOK_SECRET", webhook_secret)
    monkeypatch.setenv("SHOPIFY_CLIENT_ID", "client-id")
    monkeypatch.setenv("SHOPIFY_CLIENT_SECRET", "client-secret")
    async with AdminStandIn(books()) as admin:
        monkeypatch.setenv("SHOPIFY_ADMIN_URL", admin.url)
        done = await run("--url", URL, "--dry-run")
    assert done.exit_code == 0, done.output
    assert ("Deliveries are signed" in done.stdout) == bool(warning)
    assert warning in done.stdout
