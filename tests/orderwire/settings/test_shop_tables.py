"""The tables of orderwire.toml: several shops, their spellings, their destinations."""

from decimal import Decimal
from pathlib import Path

import pytest

from aggregates.budget.advice.kelly import Caution
from aggregates.budget.answer.overview import BudgetSettings
from aggregates.rfm.answer.overview import RfmSettings
from orderwire.serve.registry import currencies
from orderwire.serve.roles.query import api_settings
from orderwire.settings.names import settings_of
from orderwire.settings.program import ConfigurationError, Settings
from query.auth import Reach
from tests.support.shops.settings_environment import META, SHOP, load


def test_many_shops_stand_in_a_file_each_with_what_it_sets_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "orderwire.toml").write_text(
        '[shops."a.myshopify.com"]\nwebhook_secret = "sa"\npixel_id = "1"\naccess_token = "ta"\n'
        'bankroll = 500\ntimezone = "Europe/Paris"\n[shops."b.myshopify.com"]\n'
        'webhook_secret = ["s2", "s1"]\nldu_states = ["CA"]\n'
    )
    for name, value in META.items():
        monkeypatch.setenv(name, value)
    shops = Settings.load().shops
    assert set(shops) == {"a.myshopify.com", "b.myshopify.com"}
    a, b = shops["a.myshopify.com"], shops["b.myshopify.com"]
    assert (a.ads.bankroll, str(a.zone), b.ads.bankroll, b.zone) == (
        Decimal(500),
        "Europe/Paris",
        None,
        None,
    )
    assert a.capi is not None
    assert b.capi is not None
    assert (a.capi.pixel_id, b.capi.pixel_id, b.capi.ldu_states) == ("1", "123", ("CA",))


def test_a_shop_s_numbers_are_its_table_s_then_everybody_s_then_the_defaults_and_reach_the_answers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "orderwire.toml").write_text(
        '[shops."a.myshopify.com"]\nwebhook_secret = "s"\nshop_currency = "eur"\nltv_margin = 0.4\n'
        "returns_days = 60\nseed = 5.5\n"
        '[shops."b.myshopify.com"]\nwebhook_secret = "s"\n'
    )
    monkeypatch.setenv("ORDERWIRE_LTV_MARGIN", "0.5")
    monkeypatch.setenv("ORDERWIRE_CHURN_AFTER_DAYS", "90")
    monkeypatch.setenv("AD_KELLY", "0.25")
    settings = Settings.load()
    assert currencies(settings) == {"a.myshopify.com": "EUR"}
    shops = api_settings(settings).shops
    a, b = shops["a.myshopify.com"], shops["b.myshopify.com"]
    assert (a.budget.currency, a.carts.currency, b.budget.currency, b.carts.currency) == (
        "EUR",
        "EUR",
        None,
        None,
    )
    assert [
        (each.rfm.margin, each.rfm.churn_after_days, each.rfm.horizon_days) for each in (a, b)
    ] == [(0.4, 90, 365), (0.5, 90, 365)]
    assert [(each.budget.days, each.budget.seed) for each in (a, b)] == [
        (60, Decimal("5.5")),
        (30, None),
    ]
    assert b.budget == BudgetSettings(
        caution=Caution(kelly=0.25, prior_variance=b.budget.caution.prior_variance)
    )
    assert b.budget.caution.prior_variance == pytest.approx(BudgetSettings().caution.prior_variance)
    assert (a.rfm.window_days, b.rfm) == (365, RfmSettings(margin=0.5, churn_after_days=90))


def test_no_two_settings_of_a_shop_have_the_same_name_in_its_table() -> None:
    of_a_shop = [each for each in settings_of(Settings, "ORDERWIRE_") if each.of_a_shop]
    variables = {each.name: {other.variable for other in of_a_shop if other.name == each.name}
                 for each in of_a_shop}  # fmt: skip
    assert [names for names in variables.values() if len(names) > 1] == []


@pytest.mark.parametrize(
    "spelling",
    [
        "example",
        "Example.myshopify.com",
        "https://example.myshopify.com/admin",
        " http://EXAMPLE.myshopify.com ",
    ],
)
def test_a_shop_s_domain_may_be_spelt_as_name_as_domain_and_as_url(
    tmp_path: Path, spelling: str
) -> None:
    assert set(load(SHOPIFY_SHOP=spelling).shops) == {SHOP}
    (tmp_path / "orderwire.toml").write_text(f'[shops."{spelling}"]\nmargin = 0.25\n')
    assert {name: shop.ads.margin for name, shop in load().shops.items()} == {SHOP: 0.25}


def test_a_token_may_name_its_shops_in_each_of_these_spellings() -> None:
    tokens = f"one=example+b.myshopify.com,two=https://{SHOP}/,three"
    assert api_settings(load(ORDERWIRE_API_TOKENS=tokens)).tokens == {
        "one": Reach(frozenset({SHOP, "b.myshopify.com"})),
        "two": Reach(frozenset({SHOP})),
        "three": Reach(None),
    }


def test_two_tables_of_one_shop_are_refused(tmp_path: Path) -> None:
    (tmp_path / "orderwire.toml").write_text(f'[shops.example]\n[shops."{SHOP}"]\n')
    with pytest.raises(ConfigurationError, match=f"two tables of {SHOP}"):
        load()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"shops = 5", "shops is no table"),
        (b'[shops]\n"b.myshopify.com" = 3', "b.myshopify.com is no table"),
        (b'[shop."x"]\nwebhook_secret = "s"', "shop is not read here"),
        (b'log_url = "sqlite:///x"', "log_url is not read here"),
        (b'[shops."b"]\nwebhook_secret = {a = 1}', "SHOPIFY_WEBHOOK_SECRET.*text or a list"),
        (b'[shops."b"]\nwebhook_secret = "s"\nbankroll = [1]', "AD_BANKROLL.*positive number"),
        (
            b'[shops."b"]\nwebhook_secrets = "s"',
            "webhook_secrets is no setting: did you mean webhook_secret",
        ),
        (b'[shops."b"]\nwebhook_secret = "\xff"', "byte 31 is not UTF-8"),
    ],
)
def test_a_file_of_shops_that_cannot_be_meant_is_refused(
    tmp_path: Path, text: bytes, found: str
) -> None:
    (tmp_path / "orderwire.toml").write_bytes(text)
    with pytest.raises(ConfigurationError, match=found):
        load()


def test_a_setting_that_is_gone_names_its_successor_in_a_table_too(tmp_path: Path) -> None:
    (tmp_path / "orderwire.toml").write_text(
        '[shops."a.myshopify.com"]\nwebhook_secret = "s"\nnet_revenue_margin = "0.4"\n'
    )
    with pytest.raises(ConfigurationError, match=r"net_revenue_margin is no.*META_COST_PROPERTY"):
        Settings.load()


def test_a_shop_has_one_account_per_destinations_table_and_meta_variables_are_the_one_named_meta(
    tmp_path: Path,
) -> None:
    (tmp_path / "orderwire.toml").write_text(
        f'[shops."{SHOP}".destinations.meta]\npixel_id = "7"\n'
        f'[shops."{SHOP}".destinations.outlet]\n'
        'kind = "meta"\npixel_id = "8"\naccess_token = "token-1234"\nldu_states = ["CA"]\n'
    )
    accounts = load(**META).shops[SHOP].destinations
    assert {
        name: (each.name, each.kind, each.settings.pixel_id) for name, each in accounts.items()
    } == {"meta": ("meta", "meta", "7"), "outlet": ("outlet", "meta", "8")}
    assert accounts["outlet"].settings.ldu_states == ("CA",)
    assert accounts["meta"].settings.access_token == META["META_ACCESS_TOKEN"]
    assert "token-1234" not in repr(accounts)


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ('[shops."S".destinations]\nmeta = 5', r"one table .*destinations\.NAME"),
        ('[shops."S".destinations."Meta EU"]\nkind = "meta"', r"Meta EU.*small letters"),
        ('[shops."S".destinations.tictoc]\npixel = "1"', r"tictoc is no destination.*meta"),
        (
            '[shops."S".destinations.eu]\nkind = "meta"\npixel_ids = "1"',
            r"eu: pixel_ids.*pixel_id\?",
        ),
        ('[shops."S".destinations.meta]\npixel_ids = "1"', r"meta: pixel_ids.*pixel_id\?"),
        (
            '[shops."S".destinations.eu]\nkind = "meta"\npixel_id = "x"\naccess_token = "hunter2"',
            r"destinations\.eu: pixel_id must be digits",
        ),
        (
            (
                '[shops."S".destinations.eu]\nkind = "meta"\npixel_id = "1"\n'
                'access_token = ["hunter2"]'
            ),
            r"destinations\.eu\.access_token: .*string",
        ),
    ],
)
def test_a_destinations_table_that_cannot_be_meant_is_refused(
    tmp_path: Path, table: str, found: str
) -> None:
    (tmp_path / "orderwire.toml").write_text(table.replace("S", SHOP))
    with pytest.raises(ConfigurationError, match=found) as caught:
        load()
    assert "hunter2" not in str(caught.value)
