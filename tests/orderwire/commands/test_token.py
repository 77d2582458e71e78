"""`orderwire token` prints the token that is in use, and nothing else."""

import asyncio
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orderwire.cli import app
from simulator.admin.stand_in import AdminStandIn
from tests.support.servers.migrated_store import write_migrated
from tests.support.shopify.admin_shop import SHOP, books

runner = CliRunner()


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORDERWIRE_STORE_URL", write_migrated(tmp_path / "state.db"))
    monkeypatch.setenv("SHOPIFY_SHOP", SHOP)
    monkeypatch.setenv("SHOPIFY_WEBHOOK_SECRET", "secret")


async def test_a_token_that_is_given_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOPIFY_ADMIN_TOKEN", "shpat_given")
    done = await asyncio.to_thread(runner.invoke, app, ["token"])
    assert (done.exit_code, done.stdout) == (0, "shpat_given\n")


async def test_a_token_is_asked_for_by_client_credentials(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SHOPIFY_CLIENT_ID", "client-id")
    monkeypatch.setenv("SHOPIFY_CLIENT_SECRET", "client-secret")
    async with AdminStandIn(books(0)) as admin:
        monkeypatch.setenv("SHOPIFY_ADMIN_URL", admin.url)
        done = await asyncio.to_thread(runner.invoke, app, ["token", "--shop", SHOP])
        assert done.exit_code == 0, done.output
        assert admin.access.good(done.stdout.strip())


async def test_a_refresh_token_is_used_once_and_the_pair_that_follows_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SHOPIFY_CLIENT_ID", "client-id")
    monkeypatch.setenv("SHOPIFY_CLIENT_SECRET", "client-secret")
    monkeypatch.setenv("SHOPIFY_REFRESH_TOKEN", "refresh-0")
    async with AdminStandIn(books(0)) as admin:
        monkeypatch.setenv("SHOPIFY_ADMIN_URL", admin.url)
        first = await asyncio.to_thread(runner.invoke, app, ["token"])
        again = await asyncio.to_thread(runner.invoke, app, ["token"])
        assert first.exit_code == again.exit_code == 0, first.output
        assert first.stdout == again.stdout
        assert admin.access.asked == 1


async def test_without_anything_to_ask_with_it_says_what_to_set() -> None:
    done = await asyncio.to_thread(runner.invoke, app, ["token"])
    assert done.exit_code == 1
    assert "SHOPIFY_ADMIN_TOKEN" in done.output


async def test_a_shop_that_is_not_configured_is_refused_by_name() -> None:
    done = await asyncio.to_thread(runner.invoke, app, ["token", "--shop", "other"])
    assert done.exit_code == 1
    assert "other is not configured" in done.output
