"""`orderwire doctor` names each scope that the token lacks, and what its lack costs."""

import asyncio
import time

import pytest

from orderwire.doctor.scopes import scope_lines
from orderwire.settings.program import Settings
from simulator.admin.access import ALL_SCOPES, Access
from simulator.admin.stand_in import AdminStandIn
from tests.support.shopify.admin_shop import SHOP, books

VARIABLES = {"SHOPIFY_SHOP": SHOP, "SHOPIFY_WEBHOOK_SECRET": "x"}


async def lines(access: Access, **variables: str) -> list[tuple[str, str]]:
    async with AdminStandIn(books(3), access=access) as admin:
        table = {**VARIABLES, "SHOPIFY_ADMIN_URL": admin.url, **variables}
        shops = Settings.load(table).shops.values()
        found = await asyncio.to_thread(scope_lines, list(shops), None)
    return [(line.state, line.text) for line in found]


async def test_a_token_with_every_scope_is_ok() -> None:
    ((state, text),) = await lines(Access(time.time), SHOPIFY_ADMIN_TOKEN="shpat_static")
    assert state == "ok"
    assert "every scope" in text


@pytest.mark.parametrize(
    ("scope", "state", "costs"),
    [
        ("read_orders", "fix", "no backfill"),
        ("read_all_orders", "hint", "60 days"),
        ("read_customers", "hint", "guests"),
        ("read_products", "hint", "SKUs"),
    ],
)
async def test_a_missing_scope_is_named_with_what_it_costs(
    scope: str, state: str, costs: str
) -> None:
    access = Access(time.time, scopes=ALL_SCOPES - {scope})
    found = await lines(
        access, SHOPIFY_CLIENT_ID="client-id", SHOPIFY_CLIENT_SECRET="client-secret"
    )
    assert next(each for each in found if scope in each[1] and costs in each[1])[0] == state


async def test_a_missing_approval_is_named() -> None:
    found = await lines(Access(time.time, approved=False), SHOPIFY_ADMIN_TOKEN="shpat_static")
    assert any("not approved" in text for _, text in found)


async def test_a_shop_without_an_admin_api_has_no_line() -> None:
    assert await lines(Access(time.time)) == []
