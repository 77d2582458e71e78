"""Secrets: which there are, from which files they may come, and that they never show."""

from pathlib import Path

import pytest

from orderwire.settings.names import settings_of
from orderwire.settings.program import ConfigurationError, Settings
from tests.support.shops.settings_environment import BASE, META, SHOP, load


def test_secrets_are_several_newest_first_and_shops_are_lower_case() -> None:
    assert load().shops[SHOP].webhook_secrets == (b"new-secret", b"old-secret")


SECRETS = sorted({each.variable for each in settings_of(Settings, "ORDERWIRE_") if each.secret})


def test_the_secrets_are_these() -> None:
    assert SECRETS == [
        "META_ACCESS_TOKEN",
        "META_ADS_TOKEN",
        "META_APP_SECRET",
        "META_VERIFY_TOKEN",
        "ORDERWIRE_ALERT_SLACK_URL",
        "ORDERWIRE_ALERT_WEBHOOK_URL",
        "ORDERWIRE_API_TOKENS",
        "ORDERWIRE_KAFKA_KEY_PASSWORD",
        "ORDERWIRE_KAFKA_SASL_PASSWORD",
        "ORDERWIRE_STORE_URL",
        "SHOPIFY_ADMIN_TOKEN",
        "SHOPIFY_ALERT_SLACK_URL",
        "SHOPIFY_ALERT_WEBHOOK_URL",
        "SHOPIFY_CLIENT_SECRET",
        "SHOPIFY_REFRESH_TOKEN",
        "SHOPIFY_WEBHOOK_SECRET",
    ]


@pytest.mark.parametrize("variable", SECRETS)
def test_every_secret_may_come_from_the_file_that_name_file_names(
    tmp_path: Path, variable: str
) -> None:
    secret = {"ORDERWIRE_STORE_URL": "postgresql://u:hunter2@h/d"}.get(variable, "hunter2")
    if "_ALERT_" in variable:
        secret = "https://alerts.example/hunter2"
    (tmp_path / "secret").write_text(f"{secret}\n")
    named = {name: value for name, value in (BASE | META).items() if name != variable}
    inline = Settings.load(named | {variable: secret})
    assert Settings.load(named | {f"{variable}_FILE": str(tmp_path / "secret")}) == inline
    with pytest.raises(ConfigurationError, match=f"{variable} and {variable}_FILE are both set"):
        Settings.load(named | {variable: secret, f"{variable}_FILE": "secret"})
    with pytest.raises(ConfigurationError, match=f"{variable}_FILE.*gone cannot be read"):
        Settings.load(named | {f"{variable}_FILE": "gone"})


def test_the_environment_s_file_is_stronger_than_the_dotenv_file_s_value(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("SHOPIFY_SHOP=example\nSHOPIFY_WEBHOOK_SECRET=old\n")
    (tmp_path / "secrets").write_text("new\nolder\n")
    monkeypatch.setenv("SHOPIFY_WEBHOOK_SECRET_FILE", "secrets")
    assert Settings.load().shops[SHOP].webhook_secrets == (b"new", b"older")


def test_a_shop_s_table_may_name_files_of_its_secrets_too(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("token-of-the-shop")
    (tmp_path / "orderwire.toml").write_text(
        f'[shops."{SHOP}"]\naccess_token_file = "token"\n'
        f'[shops."{SHOP}".destinations.eu]\n'
        'kind = "meta"\npixel_id = "2"\naccess_token_file = "token"\n'
    )
    shop = load(**META).shops[SHOP]
    assert {each.settings.access_token for each in shop.destinations.values()} == {
        "token-of-the-shop"
    }


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("ORDERWIRE_API_TOKEN_FILE", "did you mean ORDERWIRE_API_TOKENS_FILE"),
        ("ORDERWIRE_RECEIVER_FILE", "ORDERWIRE_RECEIVER_FILE is no setting"),
    ],
)
def test_what_is_no_secret_has_no_file(name: str, found: str) -> None:
    with pytest.raises(ConfigurationError, match=found):
        load(**{name: "x"})


def test_secrets_never_show() -> None:
    settings = load(
        ORDERWIRE_STORE_URL="postgresql://u:hunter2@h/d", ORDERWIRE_API_TOKENS="tok-5678", **META
    )
    shown = repr(settings) + str(settings) + repr(settings.shops) + repr(settings.shops[SHOP].capi)
    for secret in ("hunter2", "tok-5678", "token-1234", "new-secret", "old-secret"):
        assert secret not in shown
