"""Asks a broker for the id of a topic, which a topic that is deleted and made again does not keep.

Kafka has it since 2.8 (KIP-516), in the answer to Metadata from version 10 on; aiokafka 0.14.0
speaks version 5.
"""

from io import BytesIO
from typing import Any, ClassVar
from uuid import UUID

from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

METADATA, VERSION = 3, 10
NO_ID = UUID(int=0)


class Uuid(AbstractType[UUID]):  # type: ignore[misc]  # aiokafka has no types
    """16 bytes."""

    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


class TopicIdsAnswer(Response):  # type: ignore[misc]
    """kafka.apache.org/protocol, "Metadata Response (Version: 10)"."""

    API_KEY, API_VERSION = METADATA, VERSION
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class TopicIdsQuestion(RequestStruct):  # type: ignore[misc]
    """kafka.apache.org/protocol, "Metadata Request (Version: 10)"."""

    FLEXIBLE_VERSION = True
    API_KEY, API_VERSION = METADATA, VERSION
    RESPONSE_TYPE = TopicIdsAnswer
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic_id", Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields)
            ),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class TopicIdsRequest(Request[TopicIdsQuestion]):  # type: ignore[misc]
    """Ids of topics by name."""

    API_KEY: ClassVar[int] = METADATA

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def build(self, request_struct_class: type[TopicIdsQuestion]) -> TopicIdsQuestion:
        topics: list[tuple[UUID, str, dict[int, bytes]]] = [
            (NO_ID, name, {}) for name in self._names
        ]
        return request_struct_class(topics, False, False, False, {})


async def topic_id(client: Any, name: str) -> str:
    """The topic's id; "" where the brokers have none, or the topic is not there.

    `client` is an AIOKafkaClient. Raises KafkaError.
    """
    try:
        answer = await client.send(client.get_random_node(), TopicIdsRequest([name]))
    except (IncompatibleBrokerVersion, NotImplementedError):
        return ""  # older than 2.8
    (topic,) = answer.to_object()["topics"]
    found: UUID = topic["topic_id"]
    return "" if topic["error_code"] or found == NO_ID else found.hex
