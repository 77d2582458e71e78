"""What `orderwire doctor` says of a shop's ad account."""

import asyncio
from typing import Any

import pytest

from orderwire.doctor.ads import ad_spend
from orderwire.settings.program import Settings
from simulator.meta.ads import Ads
from simulator.meta.graph import GraphStandIn

SHOP = "example.myshopify.com"
BASE = {"SHOPIFY_SHOP": SHOP, "SHOPIFY_WEBHOOK_SECRET": "secret"}


async def said(**changes: Any) -> list[tuple[str, str]]:
    async with GraphStandIn(tokens={"good": None}, ads=[Ads("77", [])]) as graph:
        variables = {
            **BASE,
            "META_AD_ACCOUNT_ID": "77",
            "META_ADS_TOKEN": "good",
            "META_GRAPH_URL": graph.url,
            **changes,
        }
        shop = Settings.load(variables).shops[SHOP]
        return [(line.state, line.text) for line in await asyncio.to_thread(ad_spend, shop)]


async def test_an_ad_account_that_can_be_read_is_ok_with_its_currency_and_zone() -> None:
    ((state, text),) = await said()
    assert (state, "ad account 77 can be read (EUR, Europe/Paris)" in text) == ("ok", True)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"META_ADS_TOKEN": "bad"}, "META_ADS_TOKEN"),
        ({"META_ADS_TOKEN": ""}, "set META_ADS_TOKEN"),
        ({"META_AD_ACCOUNT_ID": "78"}, "META_AD_ACCOUNT_ID"),
        ({"META_GRAPH_URL": "http://127.0.0.1:1"}, "cannot be reached"),
    ],
)
async def test_what_keeps_spend_from_being_read_is_to_be_mended(
    changes: dict[str, str], reason: str
) -> None:
    ((state, text),) = await said(**changes)
    assert (state, reason in text) == ("fix", True), text


async def test_another_currency_than_the_shops_is_hinted_at_unless_a_rate_is_set() -> None:
    assert [state for state, _ in await said(SHOPIFY_SHOP_CURRENCY="USD")] == ["ok", "hint"]
    assert [state for state, _ in await said(SHOPIFY_SHOP_CURRENCY="USD", AD_RATES="EUR=1.1")] == [
        "ok"
    ]


def test_a_shop_without_an_ad_account_is_not_asked_about() -> None:
    assert ad_spend(Settings.load(BASE).shops[SHOP]) == []
