"""Settings: what is read from where, and what a wrong one says."""

import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from orderwire.settings.program import ConfigurationError, Settings, child_environment
from tests.support.shops.settings_environment import BASE, META, SHOP, load


def test_the_defaults_are_one_process_with_two_files() -> None:
    settings = load()
    assert (settings.log_url, settings.store_url.get_secret_value()) == (
        "sqlite:///data/log.db",
        "sqlite:///data/state.db",
    )
    assert (settings.receiver_address.host, settings.receiver_address.port) == ("0.0.0.0", 8081)
    assert (settings.api_address.host, settings.api_address.port) == ("127.0.0.1", 8080)


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
