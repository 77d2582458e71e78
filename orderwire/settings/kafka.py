"""ORDERWIRE_KAFKA_*: what a deployment on Kafka may set."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator

from stream.log.kafka.settings import KafkaSettings, Security


def _file_that_is_there(path: str) -> str:
    if not Path(path).is_file():
        raise ValueError(f"there is no file {path}")
    return path


ExistingFile = Annotated[str, AfterValidator(_file_that_is_there)]


class KafkaVariables(BaseModel):
    """As written; `settings` makes of it what the log is opened with."""

    model_config = ConfigDict(frozen=True)

    partitions: int = Field(8, ge=1)
    replication_factor: int | None = Field(None, ge=1)
    min_insync_replicas: int | None = Field(None, ge=1)
    topic_prefix: str = ""
    compression: Literal["gzip", "snappy", "lz4", "zstd"] | None = None
    stuck_after_s: float = Field(60.0, gt=0)
    session_timeout_s: float = Field(10.0, ge=6)
    """A broker takes no less than its `group.min.session.timeout.ms`, 6 s by default."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    ca_file: ExistingFile | None = None
    cert_file: ExistingFile | None = None
    key_file: ExistingFile | None = None
    key_password: SecretStr | None = None
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None

    @field_validator("compression")
    @classmethod
    def _known_codec(cls, name: str | None) -> str | None:
        if name not in (None, "gzip") and find_spec("cramjam") is None:
            raise ValueError(
                f"{name} needs the package cramjam, which is not installed; gzip does not"
            )
        return name

    def settings(self, retention_days: int) -> KafkaSettings:
        """Of topics and clients. Raises ValueError where two of them contradict each other."""
        return KafkaSettings(
            partitions=self.partitions,
            replication_factor=self.replication_factor,
            min_insync_replicas=self.min_insync_replicas,
            retention_days=retention_days,
            topic_prefix=self.topic_prefix,
            stuck_after_s=self.stuck_after_s,
            session_timeout_s=self.session_timeout_s,
            compression=self.compression,
            security=Security(
                protocol=self.security_protocol,
                ca_file=self.ca_file,
                cert_file=self.cert_file,
                key_file=self.key_file,
                key_password=_plain(self.key_password),
                sasl_mechanism=self.sasl_mechanism,
                sasl_username=self.sasl_username,
                sasl_password=_plain(self.sasl_password),
            ),
        )


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
