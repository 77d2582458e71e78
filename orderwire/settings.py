"""Every setting there is, read once: environment, `.env`, and `orderwire.toml` for many shops. Nothing else reads the environment.

One shop is set by SHOPIFY_*, META_* and AD_* variables; several by `[shops."name.myshopify.com"]` tables with the same names in lower case
without prefix (`webhook_secret`, `pixel_id`, `bankroll`). What a shop's table leaves out, the variable says for all shops, secrets too.
A value that cannot be meant is a `ConfigurationError` that names the variable and what to write; secrets never show in it.

Who runs orderwire beside a shop of their own (the demo, benchmarks, tests) gives the variables instead: `Settings.load(variables)` reads
them and nothing else, and `child_environment(variables)` is what a process that is to go by them gets.
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, TypeAdapter, ValidationError, field_validator

from orderwire.shop_numbers import AdNumbers, CustomerNumbers, Numbers, numbers
from processors.capi.settings import CapiSettings
from stream.kafka_settings import KafkaSettings, Security


class ConfigurationError(Exception):
    """A setting is missing or cannot be meant; the message says which and what to write."""


class Address:
    """`host:port` of a listener."""

    def __init__(self, text: str, variable: str) -> None:
        host, _, port = text.rpartition(":")
        if not port.isdigit() or int(port) > 65_535:
            raise ConfigurationError(f"{variable} is {text!r}: write host:port, for example 127.0.0.1:8080")
        self.variable = variable
        self.host, self.port = host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - an empty host means every address, as in Go and nginx


class ShopSettings:
    """One shop: its secrets, its pixel, its numbers. Made by `Settings.shops`."""

    def __init__(self, domain: str, table: Mapping[str, Any]) -> None:
        self.domain = domain.strip().lower()
        self._table = {name: value for name, value in table.items() if value not in (None, "")}
        unknown = set(self._table) - _SHOP_NAMES
        if unknown:
            raise ConfigurationError(
                f"{self.domain}: {', '.join(sorted(unknown))} is no setting; there are: {', '.join(sorted(_SHOP_NAMES))}"
            )

    def _text(self, name: str) -> str | None:
        value = self._table.get(name)
        return None if value is None else str(value)

    @property
    def webhook_secrets(self) -> tuple[bytes, ...]:
        """Newest first. Raises ConfigurationError where there is none."""
        listed = self._table.get("webhook_secret", ())
        secrets = [str(s) for s in listed] if isinstance(listed, list) else str(listed or "").split(",")
        found = tuple(secret.strip().encode() for secret in secrets if secret.strip())
        if not found:
            raise ConfigurationError(
                f"{self.domain} has no webhook secret: set SHOPIFY_WEBHOOK_SECRET, or webhook_secret in orderwire.toml"
            )
        return found

    @property
    def zone(self) -> ZoneInfo | None:
        """The shop's time zone, where set. Raises ConfigurationError."""
        name = self._text("timezone")
        try:
            return ZoneInfo(name) if name else None
        except (ZoneInfoNotFoundError, ValueError):
            raise ConfigurationError(f"{self.domain}: {name!r} is no time zone; write an IANA name such as Europe/Paris") from None

    @property
    def keep_hashed_contacts(self) -> bool:
        """Whether hashes of its customers' e-mail addresses and telephone numbers are kept. Raises ConfigurationError."""
        text = (self._text("keep_hashed_contacts") or "false").lower()
        if text not in ("true", "false"):
            raise ConfigurationError(f"SHOPIFY_KEEP_HASHED_CONTACTS of {self.domain} is {text!r}: write true or false")
        return text == "true"

    @property
    def admin_token(self) -> str | None:
        """Token of Shopify's Admin API, where set."""
        return self._text("admin_token")

    @property
    def admin_graphql_url(self) -> str:
        """Where Shopify's Admin API answers GraphQL; SHOPIFY_ADMIN_URL replaces the shop's own host, for tests and proxies."""
        host = (self._text("admin_url") or f"https://{self.domain}").rstrip("/")
        return f"{host}/admin/api/{self._text('api_version') or '2026-10'}/graphql.json"

    @property
    def meta_secrets(self) -> tuple[str, str] | None:
        """App secret and verify token of Meta's webhooks, where both are set."""
        secret, token = self._text("app_secret"), self._text("verify_token")
        return (secret, token) if secret and token else None

    @property
    def currency(self) -> str | None:
        """The shop's currency (ISO 4217), where set. Raises ConfigurationError."""
        code = (self._text("shop_currency") or "").strip().upper()
        if not code:
            return None
        from stream.money import digits  # It brings babel, and processes that count no money do without.

        try:
            digits(code)
        except ValueError:
            raise ConfigurationError(f"SHOPIFY_SHOP_CURRENCY of {self.domain} is {code!r}: write an ISO 4217 code such as EUR") from None
        return code

    @cached_property
    def ads(self) -> AdNumbers:
        """What its ad budgets go by. Raises ConfigurationError."""
        return self._numbers(AdNumbers, "AD_")

    @cached_property
    def customers(self) -> CustomerNumbers:
        """What its customers' value goes by. Raises ConfigurationError."""
        return self._numbers(CustomerNumbers, "ORDERWIRE_")

    def _numbers(self, model: type[Numbers], prefix: str) -> Numbers:
        try:
            return numbers(model, prefix, self._table, self.domain)
        except ValueError as error:
            raise ConfigurationError(str(error)) from None

    @cached_property
    def capi(self) -> CapiSettings | None:
        """Where and how its Purchase events go; None where no pixel is set. Raises ConfigurationError."""
        table: dict[str, Any] = {name: value for name, value in self._table.items() if name in _CAPI_NAMES}
        if "pixel_id" not in table and "access_token" not in table:
            return None
        missing = [name for name in ("pixel_id", "access_token") if name not in table]
        if missing:
            raise ConfigurationError(
                f"{self.domain}: META_{missing[0].upper()} is missing; CAPI needs both META_PIXEL_ID and META_ACCESS_TOKEN"
            )
        for name in _CAPI_LISTS & set(table):
            if isinstance(table[name], str):
                table[name] = tuple(part.strip() for part in table[name].split(",") if part.strip())
        table["pixel_id"] = str(table["pixel_id"])
        try:
            return _CAPI.validate_python(table | {"shop": self.domain})
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ConfigurationError(f"{self.domain}: META_{where.upper()}: {first['msg']}") from None
        except ValueError as error:
            raise ConfigurationError(f"{self.domain}: {error}") from None


_CAPI = TypeAdapter(CapiSettings)
_CAPI_NAMES = {field.name for field in fields(CapiSettings)} - {"shop"}
_CAPI_LISTS = {"renewal_tags", "fbc_attributes", "fbp_attributes", "ldu_states", "consent_values"}
_SHOPIFY_NAMES = {"webhook_secret", "admin_token", "api_version", "admin_url", "timezone", "shop_currency", "keep_hashed_contacts"}
_AD_NAMES, _CUSTOMER_NAMES = set(AdNumbers.model_fields), set(CustomerNumbers.model_fields)
_META_NAMES = _CAPI_NAMES | {"verify_token", "ad_account_id"}
_PREFIXES = ("ORDERWIRE_", "SHOPIFY_", "META_", "AD_")
_SHOP_NAMES = _SHOPIFY_NAMES | _AD_NAMES | _META_NAMES | _CUSTOMER_NAMES


def shop_variables() -> dict[str, str]:
    """The environment variables that are a shop's, and the name of each in `orderwire.toml`."""
    prefixed = (("SHOPIFY_", _SHOPIFY_NAMES), ("META_", _META_NAMES), ("AD_", _AD_NAMES), ("ORDERWIRE_", _CUSTOMER_NAMES))
    return {f"{prefix}{name.upper()}": name for prefix, names in prefixed for name in names}


def child_environment(variables: Mapping[str, str], inherited: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a process that goes by `variables`: what is inherited (from this process where left out) without our settings."""
    inherited = os.environ if inherited is None else inherited
    return {name: value for name, value in inherited.items() if not name.upper().startswith(_PREFIXES)} | dict(variables)


class Settings(BaseModel):
    """The whole configuration. `Settings.load()` reads it; it never changes afterwards."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    _shop_table: dict[str, str] = PrivateAttr(default_factory=dict)
    """What the variables say of all shops, under the names that orderwire.toml uses."""

    log_url: str = Field("sqlite:///data/log.db", validation_alias="ORDERWIRE_LOG_URL")
    store_url: SecretStr = Field(SecretStr("sqlite:///data/state.db"), validation_alias="ORDERWIRE_STORE_URL")
    receiver: str = Field("0.0.0.0:8081", validation_alias="ORDERWIRE_RECEIVER")
    api: str = Field("127.0.0.1:8080", validation_alias="ORDERWIRE_API")
    api_tokens: SecretStr = Field(SecretStr(""), validation_alias="ORDERWIRE_API_TOKENS")
    config: Path = Field(Path("orderwire.toml"), validation_alias="ORDERWIRE_CONFIG")
    retention_days: int = Field(14, validation_alias="ORDERWIRE_RETENTION_DAYS", ge=1, le=30)
    """How long raw bodies are kept: they hold personal data."""
    max_in_flight_mb: int = Field(64, validation_alias="ORDERWIRE_MAX_IN_FLIGHT_MB", ge=10)
    spool: Path = Field(Path("data/spool.db"), validation_alias="ORDERWIRE_SPOOL")
    spool_mb: int = Field(1024, validation_alias="ORDERWIRE_SPOOL_MB", ge=1)
    store_pool: int = Field(8, validation_alias="ORDERWIRE_STORE_POOL", ge=1)
    abandoned_after_minutes: int = Field(60, validation_alias="ORDERWIRE_ABANDONED_AFTER_MINUTES", ge=10, multiple_of=10)
    rfm_window_days: int = Field(365, validation_alias="ORDERWIRE_RFM_WINDOW_DAYS", ge=1, le=3650)
    park_max_run: int = Field(100, validation_alias="ORDERWIRE_PARK_MAX_RUN", ge=1)
    park_max_ratio: float = Field(0.2, validation_alias="ORDERWIRE_PARK_MAX_RATIO", gt=0, le=1)

    kafka_partitions: int = Field(8, validation_alias="ORDERWIRE_KAFKA_PARTITIONS", ge=1)
    kafka_replication_factor: int | None = Field(None, validation_alias="ORDERWIRE_KAFKA_REPLICATION_FACTOR")
    kafka_min_insync_replicas: int | None = Field(None, validation_alias="ORDERWIRE_KAFKA_MIN_INSYNC_REPLICAS")
    kafka_topic_prefix: str = Field("", validation_alias="ORDERWIRE_KAFKA_TOPIC_PREFIX")
    kafka_compression: str | None = Field(None, validation_alias="ORDERWIRE_KAFKA_COMPRESSION")
    kafka_stuck_after_s: float = Field(60.0, validation_alias="ORDERWIRE_KAFKA_STUCK_AFTER_S", gt=0)
    kafka_session_timeout_s: float = Field(10.0, validation_alias="ORDERWIRE_KAFKA_SESSION_TIMEOUT_S", ge=6)
    """A broker takes no less than its `group.min.session.timeout.ms`, 6 s by default."""
    kafka_security_protocol: str = Field("PLAINTEXT", validation_alias="ORDERWIRE_KAFKA_SECURITY_PROTOCOL")
    kafka_ca_file: str | None = Field(None, validation_alias="ORDERWIRE_KAFKA_CA_FILE")
    kafka_cert_file: str | None = Field(None, validation_alias="ORDERWIRE_KAFKA_CERT_FILE")
    kafka_key_file: str | None = Field(None, validation_alias="ORDERWIRE_KAFKA_KEY_FILE")
    kafka_key_password: SecretStr | None = Field(None, validation_alias="ORDERWIRE_KAFKA_KEY_PASSWORD")
    kafka_sasl_mechanism: str = Field("PLAIN", validation_alias="ORDERWIRE_KAFKA_SASL_MECHANISM")
    kafka_sasl_username: str | None = Field(None, validation_alias="ORDERWIRE_KAFKA_SASL_USERNAME")
    kafka_sasl_password: SecretStr | None = Field(None, validation_alias="ORDERWIRE_KAFKA_SASL_PASSWORD")

    shop: str = Field("", validation_alias="SHOPIFY_SHOP")

    @field_validator("log_url")
    @classmethod
    def _known_log(cls, url: str) -> str:
        if not url.startswith(("sqlite:///", "kafka://")):
            raise ValueError("write sqlite:///path or kafka://host:port[,host:port]")
        return url

    @field_validator("store_url")
    @classmethod
    def _known_store(cls, url: SecretStr) -> SecretStr:
        if not url.get_secret_value().startswith(("sqlite:///", "postgresql://", "postgres://")):
            raise ValueError("write sqlite:///path or postgresql://user@host/database")
        return url

    @classmethod
    def load(cls, variables: Mapping[str, str] | None = None) -> "Settings":
        """Read everything: from `variables` alone, or from the environment and `.env` below it. Raises ConfigurationError."""
        read = {**dotenv_values(".env"), **os.environ} if variables is None else variables
        found = {name.upper(): value for name, value in read.items() if value is not None}
        try:
            settings = cls.model_validate(found)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            raise ConfigurationError(f"{first['loc'][0]}: {first['msg']}") from None
        settings._shop_table = {name: found[variable] for variable, name in shop_variables().items() if variable in found}
        _ = settings.shops
        return settings

    @property
    def on_kafka(self) -> bool:
        """Whether the log is Kafka."""
        return self.log_url.startswith("kafka://")

    @property
    def log_file(self) -> Path | None:
        """The embedded log's file; None on Kafka."""
        return None if self.on_kafka else Path(self.log_url.removeprefix("sqlite:///"))

    @property
    def store_file(self) -> Path | None:
        """The SQLite store's file; None on PostgreSQL."""
        url = self.store_url.get_secret_value()
        return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None

    @property
    def receiver_address(self) -> Address:
        """Where the receiver listens."""
        return Address(self.receiver, "ORDERWIRE_RECEIVER")

    @property
    def api_address(self) -> Address:
        """Where API and dashboard listen."""
        return Address(self.api, "ORDERWIRE_API")

    @property
    def kafka(self) -> KafkaSettings:
        """Settings of topics and clients. Raises ConfigurationError."""
        try:
            return KafkaSettings(
                partitions=self.kafka_partitions,
                replication_factor=self.kafka_replication_factor,
                min_insync_replicas=self.kafka_min_insync_replicas,
                retention_days=self.retention_days,
                topic_prefix=self.kafka_topic_prefix,
                stuck_after_s=self.kafka_stuck_after_s,
                session_timeout_s=self.kafka_session_timeout_s,
                compression=self.kafka_compression,
                security=Security(
                    protocol=self.kafka_security_protocol,
                    ca_file=self.kafka_ca_file,
                    cert_file=self.kafka_cert_file,
                    key_file=self.kafka_key_file,
                    key_password=_plain(self.kafka_key_password),
                    sasl_mechanism=self.kafka_sasl_mechanism,
                    sasl_username=self.kafka_sasl_username,
                    sasl_password=_plain(self.kafka_sasl_password),
                ),
            )
        except ValueError as error:
            raise ConfigurationError(f"ORDERWIRE_KAFKA_*: {error}") from None

    @cached_property
    def shops(self) -> dict[str, ShopSettings]:
        """Every shop, by domain. Raises ConfigurationError."""
        everywhere = self._shop_table
        tables: dict[str, Mapping[str, Any]] = {}
        if self.config.exists():
            try:
                tables = tomllib.loads(self.config.read_text("utf-8")).get("shops", {})
            except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
                raise ConfigurationError(f"{self.config} cannot be read: {error}") from None
        shops = {domain.strip().lower(): ShopSettings(domain, everywhere | dict(table)) for domain, table in tables.items()}
        if self.shop and self.shop.strip().lower() not in shops:
            shops[self.shop.strip().lower()] = ShopSettings(self.shop, everywhere)
        for shop in shops.values():
            _ = (shop.webhook_secrets, shop.zone, shop.currency, shop.capi, shop.ads, shop.customers, shop.keep_hashed_contacts)
        return shops


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
