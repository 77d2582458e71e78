"""All settings, read once; only `orderwire/settings/` reads the environment.

One shop is set by SHOPIFY_*, META_* and AD_* variables, several by `[shops."name.myshopify.com"]`
tables of orderwire.toml with the same names in lower case without prefix. A variable is the default
of every table.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from orderwire.settings.alerts import Target, targets
from orderwire.settings.kafka import KafkaVariables
from orderwire.settings.names import Prefix, Setting, refusal, settings_of
from orderwire.settings.refusal import ConfigurationError
from orderwire.settings.shop import TABLE_ONLY, ShopSettings, sections
from orderwire.settings.sources import (
    Variables,
    child_environment,
    environment,
    read_shop_tables,
    read_variables,
    shop_domain,
)
from stream.log.kafka.settings import KafkaSettings

__all__ = [
    "ConfigurationError",
    "ListenAddress",
    "Settings",
    "ShopSettings",
    "child_environment",
    "sqlite_path",
]


class ListenAddress:
    """`host:port` of a listener."""

    def __init__(self, text: str, variable: str) -> None:
        host, _, port = text.rpartition(":")
        if not port.isdigit() or int(port) > 65_535:
            raise ConfigurationError(
                f"{variable} is {text!r}: write host:port, for example 127.0.0.1:8080"
            )
        self.variable = variable
        # An empty host means every address, as in Go and nginx.
        self.host, self.port = host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104


_ROLE = "(receive|process|query)"
_HOSTS = r"(\[[0-9A-Fa-f:.]+\]|[^/:?@,\s]+)(:\d{1,5})?"
_LOG_URL = re.compile(rf"sqlite:///.+|kafka://{_HOSTS}(,{_HOSTS})*")
# As SQLAlchemy reads it, which not every role loads.
_STORE_URL = re.compile(
    r"sqlite:///.+"
    r"|postgres(ql)?://([^@]*@)?(\[[^/?\]]+\]|[^/:?@]*)(:\d{0,5})?(/[^?]*)?(\?.*)?"
)


def sqlite_path(url: str) -> Path | None:
    """The file that a URL names; None for a server's."""
    return Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None


def _log_url(url: str) -> str:
    if not _LOG_URL.fullmatch(url):
        raise ValueError("write sqlite:///path or kafka://host:port[,host:port]")
    return url


def _store_url(url: SecretStr) -> SecretStr:
    if not _STORE_URL.fullmatch(url.get_secret_value()):
        raise ValueError("write sqlite:///path or postgresql://user@host/database")
    return url


class Settings(BaseSettings):
    """The whole configuration. `Settings.load()` reads it; it never changes afterwards."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_prefix="ORDERWIRE_",
        # A section's variables are its name, `_` and the whole of the rest.
        env_nested_delimiter="_",
        env_nested_max_split=1,
    )

    roles: str = Field(
        "receive,process,query",
        pattern=rf"^\s*{_ROLE}(\s*,\s*{_ROLE})*\s*$",
        description="receive, process and query, or some of them, comma-separated",
    )
    """What `serve` runs where no `--roles` says it."""
    log_url: Annotated[str, AfterValidator(_log_url)] = "sqlite:///data/log.db"
    store_url: Annotated[SecretStr, AfterValidator(_store_url)] = SecretStr(
        "sqlite:///data/state.db"
    )
    receiver: str = "0.0.0.0:8081"
    api: str = "127.0.0.1:8080"
    metrics: str = ""
    """Where the metrics of all roles of this `serve` are given without a token, if anywhere."""
    otel_url: str = Field(
        "", pattern=r"^(https?://\S+)?$", description="http://host:4318/v1/traces"
    )
    """Where traces go, by OTLP over HTTP; nowhere if empty."""
    api_tokens: SecretStr = SecretStr("")
    api_requests_per_s: float = Field(
        50, ge=0, le=100_000, description="a number from 0 (no limit) to 100000"
    )
    """How often one token may ask the API, in the long run; counted per process."""
    alert_webhook_url: SecretStr | None = None
    alert_slack_url: SecretStr | None = None
    alert_private_addresses: bool = Field(False, description="true or false")
    """Whether alarms may be sent to this machine or network, and without TLS."""
    config: Path = Path("orderwire.toml")
    retention_days: int = Field(14, ge=1, le=30, description="a whole number of days from 1 to 30")
    """How long raw bodies are kept: they hold personal data."""
    outbox_days: int = Field(
        90, ge=31, le=3650, description="a whole number of days from 31 to 3650"
    )
    """How long an event's status is kept after it is settled: `destinations/delivery/life.py`."""
    privacy_folder: Path = Path("data/privacy")
    """Where answers to data requests are written, for the merchant."""
    proxies: int = Field(1, ge=0, le=9, description="a whole number from 0 to 9")
    """How many proxies of ours append to X-Forwarded-For before the receiver: by it the senders of
    pixel posts are distinguished (`ingest/pixel/rates.py`)."""
    max_in_flight_mb: int = Field(64, ge=10, description="a whole number of MB, at least 10")
    spool: Path = Path("data/spool.db")
    spool_mb: int = Field(1024, ge=1, description="a whole number of MB, at least 1")
    store_pool: int = Field(8, ge=1, description="a whole number of connections, at least 1")
    abandoned_after_minutes: int = Field(
        60, ge=10, multiple_of=10, description="a whole number of minutes, in tens"
    )
    rfm_window_days: int = Field(
        365, ge=1, le=3650, description="a whole number of days from 1 to 3650"
    )
    park_max_run: int = Field(100, ge=1, description="a whole number of records, at least 1")
    park_max_ratio: float = Field(0.2, gt=0, le=1, description="a share, for example 0.2")

    kafka_variables: Annotated[KafkaVariables, Prefix("ORDERWIRE_KAFKA_")] = Field(
        KafkaVariables(), validation_alias="ORDERWIRE_KAFKA"
    )
    shop: str = Field("", validation_alias="SHOPIFY_SHOP")
    shops: Annotated[dict[str, ShopSettings], Prefix("SHOPIFY_")] = {}
    """By domain. With no table in orderwire.toml: the one that SHOPIFY_SHOP names."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The constructor reads nothing: `load` does, and may be given variables to go by."""
        return (init_settings,)

    @classmethod
    def load(cls, variables: Mapping[str, str] | None = None) -> Self:
        """Read the environment and `.env`; or `variables` and nothing else.

        Demo, benchmarks and tests give the variables, so that the machine's own do not count.
        Raises ConfigurationError.
        """
        settings = list(settings_of(cls, "ORDERWIRE_"))
        found = read_variables(
            environment() if variables is None else [variables],
            known={each.variable for each in settings},
            secrets={each.variable for each in settings if each.secret},
        )
        values = Variables(cls, found)()
        try:
            values["shops"] = _shops(
                [each for each in settings if each.of_a_shop],
                found,
                Path(values.get("config", cls.model_fields["config"].default)),
            )
            return cls(**values)
        except ValidationError as error:
            raise refusal(error, {each.path: each for each in settings}) from None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        _ = (
            self.receiver_address,
            self.api_address,
            self.metrics_address,
            self.kafka,
            self.alert_targets,
        )
        if self.config != type(self).model_fields["config"].default and not self.config.exists():
            raise ConfigurationError(f"ORDERWIRE_CONFIG: there is no file {self.config}")
        files = {
            "ORDERWIRE_LOG_URL": self.log_file,
            "ORDERWIRE_STORE_URL": self.store_file,
            "ORDERWIRE_SPOOL": self.spool if self.on_kafka else None,
        }
        named: dict[Path, str] = {}
        for variable, path in files.items():
            if path is None:
                continue
            other = named.setdefault(path.resolve(), variable)
            if other != variable:
                raise ConfigurationError(
                    f"{variable} names the same file as {other}, {path}: each needs its own"
                )
        return self

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
    def receiver_address(self) -> ListenAddress:
        """Where the receiver listens."""
        return ListenAddress(self.receiver, "ORDERWIRE_RECEIVER")

    @property
    def api_address(self) -> ListenAddress:
        """Where API and dashboard listen."""
        return ListenAddress(self.api, "ORDERWIRE_API")

    @property
    def metrics_address(self) -> ListenAddress | None:
        """Where metrics are given beside the API's `/metrics`."""
        return ListenAddress(self.metrics, "ORDERWIRE_METRICS") if self.metrics else None

    @property
    def alert_targets(self) -> tuple[Target, ...]:
        """Where alarms go. Raises ConfigurationError."""
        return targets(self)

    @property
    def kafka(self) -> KafkaSettings:
        """Settings of topics and clients. Raises ConfigurationError."""
        try:
            return self.kafka_variables.settings(self.retention_days)
        except ValueError as error:
            raise ConfigurationError(f"ORDERWIRE_KAFKA_*: {error}") from None


def _shops(
    settings: list[Setting], found: Mapping[str, str], config: Path
) -> dict[str, dict[str, Any]]:
    """Each shop's values: those of its table over those that the variables say for all shops."""
    everywhere = {each.name: found[each.variable] for each in settings if each.variable in found}
    tables = read_shop_tables(
        config,
        known={each.name for each in settings} | TABLE_ONLY,
        secrets={each.name for each in settings if each.secret},
    )
    if name := found.get("SHOPIFY_SHOP"):
        tables.setdefault(shop_domain(name), {})
    return {domain: sections(domain, everywhere | table) for domain, table in tables.items()}
