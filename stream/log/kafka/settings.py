"""Kafka settings and the values that are refused. The defaults suit one broker as well as a
cluster."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl

    from aiokafka.abc import AbstractTokenProvider

RETENTION_DAYS_MAX = 30
"""Raw bodies hold personal data (docs/architecture.md, "Topics and keys")."""

BODY_BYTES_MAX = 10 << 20
RECORD_BYTES_MAX = BODY_BYTES_MAX + (256 << 10)
"""The largest body that the receiver takes, and room for key, headers and Kafka's own framing."""


@dataclass(frozen=True, slots=True)
class Security:
    """How to speak to the brokers; passed through to aiokafka. Passwords never show in a repr."""

    protocol: str = "PLAINTEXT"
    """PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."""
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    key_password: str | None = field(default=None, repr=False)
    sasl_mechanism: str = "PLAIN"
    """PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, GSSAPI or OAUTHBEARER."""
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    sasl_token_provider: "AbstractTokenProvider | None" = field(default=None, repr=False)
    """For OAUTHBEARER, as managed Kafka with IAM wants it."""

    def options(self) -> Mapping[str, Any]:
        """Keyword arguments of every aiokafka client. Raises OSError if a file is unreadable."""
        context: ssl.SSLContext | None = None
        if self.protocol in ("SSL", "SASL_SSL"):
            from aiokafka.helpers import (
                # not above: every process reads settings, few speak to a broker
                create_ssl_context,
            )

            context = create_ssl_context(
                cafile=self.ca_file,
                certfile=self.cert_file,
                keyfile=self.key_file,
                password=self.key_password,
            )
        return {
            "security_protocol": self.protocol,
            "ssl_context": context,
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.sasl_username,
            "sasl_plain_password": self.sasl_password,
            "sasl_oauth_token_provider": self.sasl_token_provider,
        }


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """Everything but the address. Raises ValueError for values that make no sense."""

    partitions: int = 8
    """Up to so many processors share a topic. More can be added later, fewer cannot."""
    replication_factor: int | None = None
    """None: 3, or as many as there are brokers."""
    min_insync_replicas: int | None = None
    """None: one less than the replicas, at least 1. With 2 of 3 an acknowledged record survives the
    loss of any broker (docs/facts/streaming.md, "What an acknowledgement survives")."""
    retention_days: int = 14
    topic_prefix: str = ""
    """Goes before every topic and group name: several installations on one cluster."""
    ack_timeout_s: float = 2.0
    """How long a record may wait for its acknowledgement before `append` gives up and no more are
    handed over."""
    probe_every_s: float = 0.5
    queue_bytes: int = 64 << 20
    """What appends may hold in memory before they are refused."""
    stuck_after_s: float = 60.0
    """Lag and no record for this long ends a reader."""
    session_timeout_s: float = 10.0
    """After this long without a sign of life a member's partitions go to the others."""
    request_timeout_s: float = 10.0
    member: str | None = None
    """The name of a process in its groups (KIP-345). The next one of that name takes its partitions
    over without waiting for the session of one that was killed. Two that live must differ."""
    compression: str | None = None
    """None, gzip, snappy, lz4 or zstd."""
    security: Security = field(default_factory=Security)

    def __post_init__(self) -> None:
        if not 1 <= self.retention_days <= RETENTION_DAYS_MAX:
            raise ValueError(
                f"retention of {self.retention_days} days refused: topics hold raw bodies with "
                f"personal data, so 1 to {RETENTION_DAYS_MAX} days"
            )
        if self.partitions < 1:
            raise ValueError(f"a topic needs at least one partition, not {self.partitions}")
        replicas, in_sync = self.replication_factor, self.min_insync_replicas
        if replicas is not None and in_sync is not None and not 1 <= in_sync <= replicas:
            raise ValueError(
                f"min.insync.replicas {in_sync} cannot be met with {replicas} replicas"
            )
