"""Settings: what is read from where, and what a wrong one says."""

import sys
from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from aggregates.budget.advice.kelly import Caution
from aggregates.budget.answer.overview import BudgetSettings
from aggregates.rfm.answer.overview import RfmSettings
from orderwire.serve.registry import currencies
from orderwire.serve.roles.query import api_settings
from orderwire.settings.names import settings_of
from orderwire.settings.program import ConfigurationError, Settings, child_environment
from query.auth import Reach

BASE = {"SHOPIFY_SHOP": "Example.myshopify.com", "SHOPIFY_WEBHOOK_SECRET": "new-secret, old-secret"}
META = {"META_PIXEL_ID": "123", "META_ACCESS_TOKEN": "token-1234"}
SHOP = "example.myshopify.com"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in list(os.environ):
        if name.startswith(("ORDERWIRE_", "SHOPIFY_", "META_", "AD_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def load(**variables: str) -> Settings:
    return Settings.load(BASE | variables)


def test_the_defaults_are_one_process_with_two_files() -> None:
    settings = load()
    assert (settings.log_url, settings.store_url.get_secret_value()) == (
        "sqlite:///data/log.db",
        "sqlite:///data/state.db",
    )
    assert (settings.receiver_address.host, settings.receiver_address.port) == ("0.0.0.0", 8081)
    assert (settings.api_address.host, settings.api_address.port) == ("127.0.0.1", 8080)


def test_secrets_are_several_newest_first_and_shops_are_lower_case() -> None:
    assert load().shops[SHOP].webhook_secrets == (b"new-secret", b"old-secret")


def test_a_dotenv_file_is_read_and_the_environment_is_stronger(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text(
        "SHOPIFY_SHOP=file.myshopify.com\nSHOPIFY_WEBHOOK_SECRET=x\nMETA_PIXEL_ID=9\n"
        "META_ACCESS_TOKEN=t\nAD_MARGIN=0.5\n"
    )
    settings = Settings.load()
    assert settings.shops["file.myshopify.com"].ads.margin == 0.5
    monkeypatch.setenv("ad_margin", "0.25")
    assert Settings.load().shops["file.myshopify.com"].ads.margin == 0.25


def test_variables_that_are_given_are_all_that_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("ORDERWIRE_API=127.0.0.1:1\nAD_MARGIN=0.5\n")
    for name, value in (META | {"ORDERWIRE_RECEIVER": "127.0.0.1:2", "AD_BANKROLL": "9"}).items():
        monkeypatch.setenv(name, value)
    settings = Settings.load(BASE)
    assert (settings.receiver, settings.api) == ("0.0.0.0:8081", "127.0.0.1:8080")
    shop = settings.shops[SHOP]
    assert (shop.capi, shop.ads.margin, shop.ads.bankroll) == (None, None, None)


def test_a_child_inherits_what_is_no_setting_and_none_of_a_real_shops() -> None:
    real = {
        "PATH": "/bin",
        "META_ACCESS_TOKEN": "real",
        "SHOPIFY_ADMIN_TOKEN": "real",
        "ORDERWIRE_KAFKA_TOPIC_PREFIX": "real",
        "ad_margin": "1",
    }
    assert child_environment(BASE, inherited=real) == BASE | {"PATH": "/bin"}


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


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({"SHOPIFY_WEBHOOK_SECRET": ""}, "SHOPIFY_WEBHOOK_SECRET"),
        ({"ORDERWIRE_LOG_URL": "redis://x"}, "ORDERWIRE_LOG_URL.*kafka://host:port"),
        ({"ORDERWIRE_STORE_URL": "mysql://user:hunter2@x"}, "ORDERWIRE_STORE_URL.*postgresql://"),
        ({"ORDERWIRE_RETENTION_DAYS": "31"}, "ORDERWIRE_RETENTION_DAYS is '31'.*1 to 30"),
        ({"ORDERWIRE_ROLES": "receive,answer"}, "ORDERWIRE_ROLES.*receive, process and query"),
        ({"ORDERWIRE_API": "localhost"}, r"ORDERWIRE_API.*127\.0\.0\.1:8080"),
        ({"SHOPIFY_API_VERSION": "newest"}, "SHOPIFY_API_VERSION.*2026-10"),
        ({"SHOPIFY_ADMIN_URL": "proxy:8080"}, "SHOPIFY_ADMIN_URL.*https://host"),
        ({"META_AD_ACCOUNT_ID": "mine"}, "META_AD_ACCOUNT_ID.*digits"),
        (META | {"META_DRY_RUN": "perhaps"}, "META_DRY_RUN.*boolean"),
        ({"META_PIXEL_ID": "123"}, "META_ACCESS_TOKEN is missing"),
        (META | {"META_PIXEL_ID": "abc"}, "META_PIXEL_ID must be digits"),
        (META | {"META_VALUE_BASIS": "gross"}, "META_VALUE_BASIS"),
        (META | {"META_SOURCE_POS": "shop"}, "META_SOURCE_POS is 'shop'"),
        (META | {"META_TEST_HOURS": "1000"}, "META_TEST_HOURS.*test event code"),
        ({"AD_MARGIN": "40"}, "AD_MARGIN.*0.4"),
        ({"AD_BANKROLL": "a lot"}, "AD_BANKROLL.*positive number"),
        ({"AD_MAX_CHANGE": "30"}, "AD_MAX_CHANGE.*0.3"),
        ({"AD_SEED": "-5"}, "AD_SEED.*positive number"),
        ({"AD_RETURNS_DAYS": "3"}, "AD_RETURNS_DAYS.*7 to 366"),
        ({"AD_KELLY": "1"}, "AD_KELLY.*below 1"),
        ({"AD_PRIOR_SD": "nan"}, "AD_PRIOR_SD.*0.2"),
        ({"ORDERWIRE_LTV_MARGIN": "40"}, "ORDERWIRE_LTV_MARGIN.*0.4"),
        ({"ORDERWIRE_CHURN_AFTER_DAYS": "half a year"}, "ORDERWIRE_CHURN_AFTER_DAYS.*1 to 3650"),
        ({"SHOPIFY_SHOP_CURRENCY": "dollars"}, "SHOPIFY_SHOP_CURRENCY.*EUR"),
        ({"SHOPIFY_TIMEZONE": "Paris"}, "SHOPIFY_TIMEZONE.*IANA"),
        ({"SHOPIFY_TIMEZONE": "Europe"}, "SHOPIFY_TIMEZONE.*IANA"),
        ({"ORDERWIRE_LOG_URL": "kafka://broker:port"}, "ORDERWIRE_LOG_URL.*kafka://host:port"),
        (
            {"ORDERWIRE_LOG_URL": "kafka://one:9092,,two:9092"},
            "ORDERWIRE_LOG_URL.*kafka://host:port",
        ),
        ({"ORDERWIRE_LOG_URL": "sqlite:///"}, "ORDERWIRE_LOG_URL.*sqlite:///path"),
        (
            {"ORDERWIRE_STORE_URL": "postgresql://user:hunter2@h:abc/d"},
            "ORDERWIRE_STORE_URL.*postgresql://",
        ),
        ({"ORDERWIRE_KAFKA_COMPRESSION": "brotli"}, "ORDERWIRE_KAFKA_COMPRESSION.*zstd"),
        (
            {"ORDERWIRE_KAFKA_SECURITY_PROTOCOL": "SASL-SSL"},
            "ORDERWIRE_KAFKA_SECURITY_PROTOCOL.*SASL_SSL",
        ),
        (
            {"ORDERWIRE_KAFKA_SASL_MECHANISM": "FOO"},
            "ORDERWIRE_KAFKA_SASL_MECHANISM.*SCRAM-SHA-512",
        ),
        ({"ORDERWIRE_KAFKA_REPLICATION_FACTOR": "-2"}, "ORDERWIRE_KAFKA_REPLICATION_FACTOR"),
        (
            {"ORDERWIRE_KAFKA_REPLICATION_FACTOR": "1", "ORDERWIRE_KAFKA_MIN_INSYNC_REPLICAS": "2"},
            "ORDERWIRE_KAFKA.*cannot be met",
        ),
        ({"ORDERWIRE_KAFKA_CA_FILE": "gone.pem"}, "ORDERWIRE_KAFKA_CA_FILE.*no file gone.pem"),
        ({"ORDERWIRE_CONFIG": "gone.toml"}, "ORDERWIRE_CONFIG.*no file gone.toml"),
        (
            {"ORDERWIRE_RECIEVER": "0.0.0.0:81"},
            "ORDERWIRE_RECIEVER is no setting: did you mean ORDERWIRE_RECEIVER",
        ),
        (
            {"ORDERWIRE_STORE_URL": "sqlite:///./data/../data/log.db"},
            "ORDERWIRE_STORE_URL.*same file as ORDERWIRE_LOG_URL",
        ),
        (
            {"ORDERWIRE_LOG_URL": "kafka://b", "ORDERWIRE_SPOOL": "data/state.db"},
            "ORDERWIRE_SPOOL.*same file as ORDERWIRE_STORE_URL",
        ),
        ({"SHOPIFY_KEEP_HASHED_CONTACTS": "maybe"}, "SHOPIFY_KEEP_HASHED_CONTACTS.*true or false"),
        (
            {"META_NET_REVENUE_MARGIN": "0.4"},
            "META_NET_REVENUE_MARGIN is no setting any more.*META_COST_PROPERTY",
        ),
    ],
)
def test_a_setting_that_cannot_be_meant_names_itself_and_what_to_write(
    variables: dict[str, str], found: str
) -> None:
    with pytest.raises(ConfigurationError, match=found) as caught:
        load(**variables)
    assert "hunter2" not in str(caught.value)
    assert "token-1234" not in str(caught.value)


def test_a_codec_that_is_not_installed_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cramjam", None)  # Python's way to say that there is none.
    with pytest.raises(ConfigurationError, match=r"ORDERWIRE_KAFKA_COMPRESSION.*cramjam"):
        load(ORDERWIRE_KAFKA_COMPRESSION="zstd")


def test_what_is_empty_is_not_set() -> None:
    settings = load(
        ORDERWIRE_KAFKA_REPLICATION_FACTOR="",
        ORDERWIRE_KAFKA_COMPRESSION="",
        ORDERWIRE_API="",
        META_PIXEL_ID="",
    )
    assert (settings.kafka.replication_factor, settings.kafka.compression) == (None, None)
    assert settings.api_address.port == 8080
    assert settings.shops[SHOP].capi is None


@pytest.mark.parametrize(
    "name",
    [
        "ORDERWIRE_TEST_KAFKA",
        "ORDERWIRE_SERVICE_HOST",
        "ORDERWIRE_SERVICE_PORT_HTTP",
        "ORDERWIRE_PORT",
        "ORDERWIRE_PORT_8081_TCP_ADDR",
        "ORDERWIRE_API_SERVICE_PORT",
        "SHOPIFY_API_KEY",
        "META_THING",
    ],
)
def test_names_that_others_set_are_let_be(name: str) -> None:
    assert load(**{name: "tcp://10.0.0.1:8081"}).shops


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u@h/d",
        "postgres://h",
        "postgresql:///d?host=/var/run/postgresql",
        "postgresql://u:p#a/s?s@h:5432/d?sslmode=require",
        "postgresql://u:p@[::1]:5432/d",
    ],
)
def test_the_addresses_of_a_server_are_those_that_sqlalchemy_reads(url: str) -> None:
    assert load(ORDERWIRE_STORE_URL=url).store_url.get_secret_value() == url
    assert sa.make_url(url)


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


def test_a_dotenv_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"SHOPIFY_SHOP=caf\xe9")
    with pytest.raises(ConfigurationError, match=r"\.env cannot be read: byte 17 is not UTF-8"):
        Settings.load()


def test_hashed_contacts_are_kept_only_where_somebody_said_so(tmp_path: Path) -> None:
    assert not load().shops[SHOP].keep_hashed_contacts
    assert load(SHOPIFY_KEEP_HASHED_CONTACTS="true").shops[SHOP].keep_hashed_contacts
    (tmp_path / "orderwire.toml").write_text(f'[shops."{SHOP}"]\nkeep_hashed_contacts = false\n')
    assert not load(SHOPIFY_KEEP_HASHED_CONTACTS="true").shops[SHOP].keep_hashed_contacts


def test_a_name_that_is_no_setting_is_reported_with_those_there_are(tmp_path: Path) -> None:
    (tmp_path / "orderwire.toml").write_text('[shops."a.myshopify.com"]\nwebhook_secrets = "s"\n')
    with pytest.raises(ConfigurationError, match=r"webhook_secrets is no setting.*webhook_secret"):
        Settings.load()


def test_a_setting_that_is_gone_names_its_successor_in_a_table_too(tmp_path: Path) -> None:
    (tmp_path / "orderwire.toml").write_text(
        '[shops."a.myshopify.com"]\nwebhook_secret = "s"\nnet_revenue_margin = "0.4"\n'
    )
    with pytest.raises(ConfigurationError, match=r"net_revenue_margin is no.*META_COST_PROPERTY"):
        Settings.load()


def test_secrets_never_show() -> None:
    settings = load(
        ORDERWIRE_STORE_URL="postgresql://u:hunter2@h/d", ORDERWIRE_API_TOKENS="tok-5678", **META
    )
    shown = repr(settings) + str(settings) + repr(settings.shops) + repr(settings.shops[SHOP].capi)
    for secret in ("hunter2", "tok-5678", "token-1234", "new-secret", "old-secret"):
        assert secret not in shown


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
