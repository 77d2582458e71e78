"""Where alarms go: only addresses that may be meant, whose URLs never show."""

from pathlib import Path

import pytest

from orderwire.settings.program import ConfigurationError, Settings

BASE = {"SHOPIFY_SHOP": "example.myshopify.com", "SHOPIFY_WEBHOOK_SECRET": "hush"}
SECRET_URL = "https://hooks.slack.example/services/T0/B0/secret"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://alerts.example/x", "must begin with https://"),
        ("https://127.0.0.1/x", "private address"),
        ("https://localhost/x", "private address"),
        ("https://10.0.0.8/x", "private address"),
        ("https://alerts.example:port/x", "no address"),
        ("alerts.example", "must begin with https://"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused_without_being_shown(
    url: str, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words) as refused:
        Settings.load({**BASE, "ORDERWIRE_ALERT_WEBHOOK_URL": url})
    assert "ORDERWIRE_ALERT_WEBHOOK_URL" in str(refused.value)
    assert url not in str(refused.value)


def test_a_private_address_is_taken_where_that_is_said() -> None:
    url = "http://127.0.0.1:9093/x"
    settings = Settings.load(
        {**BASE, "ORDERWIRE_ALERT_WEBHOOK_URL": url, "ORDERWIRE_ALERT_PRIVATE_ADDRESSES": "true"}
    )
    assert [(each.shop, each.url) for each in settings.alert_targets] == [("", url)]


def test_each_may_come_from_a_file_and_a_shop_has_its_own(tmp_path: Path) -> None:
    (tmp_path / "slack").write_text(SECRET_URL + "\n")
    (tmp_path / "orderwire.toml").write_text(
        '[shops."one.myshopify.com"]\nwebhook_secret = "hush"\n'
        f'alert_slack_url_file = "{tmp_path / "slack"}"\n'
        '[shops."two.myshopify.com"]\nwebhook_secret = "hush"\n'
    )
    settings = Settings.load(
        {
            "ORDERWIRE_CONFIG": str(tmp_path / "orderwire.toml"),
            "ORDERWIRE_ALERT_SLACK_URL_FILE": str(tmp_path / "slack"),
        }
    )
    assert [(each.shop, each.kind, each.url) for each in settings.alert_targets] == [
        ("", "slack", SECRET_URL),
        ("one.myshopify.com", "slack", SECRET_URL),
    ]
    assert SECRET_URL not in repr(settings)
