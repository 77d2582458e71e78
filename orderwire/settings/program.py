"""Every setting there is, read once: environment, `.env`, and `orderwire.toml` for many shops. Nothing else reads the environment.

One shop is set by SHOPIFY_*, META_* and AD_* variables; several by `[shops."name.myshopify.com"]` tables with the same names in lower case
without prefix (`webhook_secret`, `pixel_id`, `bankroll`). What a shop's table leaves out, the variable says for all shops, secrets too.
A value that cannot be meant is a `ConfigurationError` that names the variable and what to write; secrets never show in it.

Who runs orderwire beside a shop of their own (the demo, benchmarks, tests) gives the variables instead: `Settings.load(variables)` reads
them and nothing else, and `child_environment(variables)` is what a process that is to go by them gets.
"""

import os
import re
from collections.abc import Mapping
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    field_validator,
)

from orderwire.settings.shop import (
    SHOP_LISTS,
    SHOP_NAMES,
    SHOP_TABLES,
    ShopSettings,
    message,
    shop_variables,
)
from orderwire.settings.sources import (
    ConfigurationError,
    read_dotenv,
    read_shop_tables,
    refuse_misspelt,
)
from stream.log.kafka.settings import KafkaSettings, Security

__all__ = [
    "Address",
    "ConfigurationError",
    "Settings",
    "ShopSettings",
    "child_environment",
    "shop_variables",
]


class Address:
    """`host:port` of a listener."""

    def __init__(self, text: str, variable: str) -> None:
        host, _, port = text.rpartition(":")
        if not port.isdigit() or int(port) > 65_535:
            raise ConfigurationError(
                f"{variable} is {text!r}: write host:port, for example 127.0.0.1:8080"
            )
        self.variable = variable
        self.host, self.port = host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - an empty host means every address, as in Go and nginx


_PREFIXES = ("ORDERWIRE_", "SHOPIFY_", "META_", "AD_")


def child_environment(
    variables: Mapping[str, str], inherited: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The environment of a process that goes by `variables`: what is inherited (from this process where left out) without our settings."""
    inherited = os.environ if inherited is None else inherited
    return {
        name: value for name, value in inherited.items() if not name.upper().startswith(_PREFIXES)
    } | dict(variables)


def _file_that_is_there(path: str) -> str:
    if not Path(path).is_file():
        raise ValueError(f"there is no file {path}")
    return path


ExistingFile = Annotated[str, AfterValidator(_file_that_is_there)]
_HOSTS = r"(\[[0-9A-Fa-f:.]+\]|[^/:?@,\s]+)(:\d{1,5})?"
_KAFKA_URL = re.compile(rf"kafka://{_HOSTS}(,{_HOSTS})*")
_SERVER_URL = re.compile(
    r"postgres(ql)?://([^@]*@)?(\[[^/?\]]+\]|[^/:?@]*)(:\d{0,5})?(/[^?]*)?(\?.*)?"
)
"""As SQLAlchemy reads it, which not every role loads."""


class Settings(BaseModel):
    """The whole configuration. `Settings.load()` reads it; it never changes afterwards."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    _shop_table: dict[str, str] = PrivateAttr(default_factory=dict)
    """What the variables say of all shops, under the names that orderwire.toml uses."""

    log_url: str = Field("sqlite:///data/log.db", validation_alias="ORDERWIRE_LOG_URL")
    store_url: SecretStr = Field(
        SecretStr("sqlite:///data/state.db"), validation_alias="ORDERWIRE_STORE_URL"
    )
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
    abandoned_after_minutes: int = Field(
        60, validation_alias="ORDERWIRE_ABANDONED_AFTER_MINUTES", ge=10, multiple_of=10
    )
    rfm_window_days: int = Field(365, validation_alias="ORDERWIRE_RFM_WINDOW_DAYS", ge=1, le=3650)
    park_max_run: int = Field(100, validation_alias="ORDERWIRE_PARK_MAX_RUN", ge=1)
    park_max_ratio: float = Field(0.2, validation_alias="ORDERWIRE_PARK_MAX_RATIO", gt=0, le=1)

    kafka_partitions: int = Field(8, validation_alias="ORDERWIRE_KAFKA_PARTITIONS", ge=1)
    kafka_replication_factor: int | None = Field(
        None, validation_alias="ORDERWIRE_KAFKA_REPLICATION_FACTOR", ge=1
    )
    kafka_min_insync_replicas: int | None = Field(
        None, validation_alias="ORDERWIRE_KAFKA_MIN_INSYNC_REPLICAS", ge=1
    )
    kafka_topic_prefix: str = Field("", validation_alias="ORDERWIRE_KAFKA_TOPIC_PREFIX")
    kafka_compression: Literal["gzip", "snappy", "lz4", "zstd"] | None = Field(
        None, validation_alias="ORDERWIRE_KAFKA_COMPRESSION"
    )
    kafka_stuck_after_s: float = Field(60.0, validation_alias="ORDERWIRE_KAFKA_STUCK_AFTER_S", gt=0)
    kafka_session_timeout_s: float = Field(
        10.0, validation_alias="ORDERWIRE_KAFKA_SESSION_TIMEOUT_S", ge=6
    )
    """A broker takes no less than its `group.min.session.timeout.ms`, 6 s by default."""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", validation_alias="ORDERWIRE_KAFKA_SECURITY_PROTOCOL"
    )
    kafka_ca_file: ExistingFile | None = Field(None, validation_alias="ORDERWIRE_KAFKA_CA_FILE")
    kafka_cert_file: ExistingFile | None = Field(None, validation_alias="ORDERWIRE_KAFKA_CERT_FILE")
    kafka_key_file: ExistingFile | None = Field(None, validation_alias="ORDERWIRE_KAFKA_KEY_FILE")
    kafka_key_password: SecretStr | None = Field(
        None, validation_alias="ORDERWIRE_KAFKA_KEY_PASSWORD"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "PLAIN", validation_alias="ORDERWIRE_KAFKA_SASL_MECHANISM"
    )
    kafka_sasl_username: str | None = Field(None, validation_alias="ORDERWIRE_KAFKA_SASL_USERNAME")
    kafka_sasl_password: SecretStr | None = Field(
        None, validation_alias="ORDERWIRE_KAFKA_SASL_PASSWORD"
    )

    shop: str = Field("", validation_alias="SHOPIFY_SHOP")

    @field_validator("log_url")
    @classmethod
    def _known_log(cls, url: str) -> str:
        if not re.match("sqlite:///.", url) and not _KAFKA_URL.fullmatch(url):
            raise ValueError("write sqlite:///path or kafka://host:port[,host:port]")
        return url

    @field_validator("store_url")
    @classmethod
    def _known_store(cls, url: SecretStr) -> SecretStr:
        if not re.match("sqlite:///.", url.get_secret_value()) and not _SERVER_URL.fullmatch(
            url.get_secret_value()
        ):
            raise ValueError("write sqlite:///path or postgresql://user@host/database")
        return url

    @field_validator("kafka_compression")
    @classmethod
    def _known_codec(cls, name: str | None) -> str | None:
        if name not in (None, "gzip") and find_spec("cramjam") is None:
            raise ValueError(
                f"{name} needs the package cramjam, which is not installed; gzip does not"
            )
        return name

    @classmethod
    def load(cls, variables: Mapping[str, str] | None = None) -> "Settings":
        """Read everything: from `variables` alone, or from the environment and `.env` below it; what is empty is not set.

        Raises ConfigurationError.
        """
        read = {**read_dotenv(Path(".env")), **os.environ} if variables is None else variables
        found = {name.upper(): value for name, value in read.items() if value}
        refuse_misspelt(
            found,
            {str(field.validation_alias) for field in cls.model_fields.values()}
            | set(shop_variables()),
        )
        try:
            settings = cls.model_validate(found)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            raise ConfigurationError(f"{first['loc'][0]}: {message(first)}") from None
        settings._shop_table = {
            name: found[variable]
            for variable, name in shop_variables().items()
            if variable in found
        }
        settings._refuse_missing_or_shared_files()
        _ = (settings.shops, settings.kafka)
        return settings

    def _refuse_missing_or_shared_files(self) -> None:
        if self.config != type(self).model_fields["config"].default and not self.config.exists():
            raise ConfigurationError(f"ORDERWIRE_CONFIG: there is no file {self.config}")
        files = {"ORDERWIRE_LOG_URL": self.log_file, "ORDERWIRE_STORE_URL": self.store_file}
        files["ORDERWIRE_SPOOL"] = self.spool if self.on_kafka else None
        named: dict[Path, str] = {}
        for variable, path in files.items():
            if (
                path is not None
                and (other := named.setdefault(path.resolve(), variable)) != variable
            ):
                raise ConfigurationError(
                    f"{variable} names the same file as {other}, {path}: each needs its own"
                )

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
        tables = read_shop_tables(self.config, SHOP_NAMES, SHOP_LISTS, SHOP_TABLES)
        shops = {
            domain.strip().lower(): ShopSettings(domain, everywhere | dict(table))
            for domain, table in tables.items()
        }
        if self.shop and self.shop.strip().lower() not in shops:
            shops[self.shop.strip().lower()] = ShopSettings(self.shop, everywhere)
        for shop in shops.values():
            _ = (
                shop.webhook_secrets,
                shop.zone,
                shop.currency,
                shop.destinations,
                shop.ads,
                shop.customers,
                shop.keep_hashed_contacts,
            )
        return shops


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
