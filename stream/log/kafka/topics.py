"""Creates missing topics with our settings; reports existing topics that differ and leaves them
unchanged."""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from stream.log.contract import Unavailable
from stream.log.kafka.errors import FAILURES, unavailable
from stream.log.kafka.refusals import is_refusal
from stream.log.kafka.settings import RECORD_BYTES_MAX, KafkaSettings

DAY_MS = 86_400_000


class WantedTopic(NamedTuple):
    """A topic as orderwire creates it."""

    partitions: int
    replication_factor: int
    configs: Mapping[str, str]


def wanted(settings: KafkaSettings, brokers: int) -> WantedTopic:
    """How a topic should be on a cluster of so many brokers (kafka.apache.org/documentation, 'Topic
    Configs').

    - `cleanup.policy=delete`, since compaction would drop deliveries.
    - `retention.ms`, since raw bodies hold personal data.
    - `segment.ms` of one day: Kafka drops whole segments, and its default of seven days would keep
      a body for 21.
    - `message.timestamp.type=LogAppendTime`: retention counts from the append whatever a sender's
      clock says, and Kafka refuses no record for its time.
    - `max.message.bytes`, since the receiver takes bodies of 10 MiB.
    """
    replicas = settings.replication_factor or min(3, max(1, brokers))
    in_sync = settings.min_insync_replicas or max(1, replicas - 1)
    configs = {
        "cleanup.policy": "delete",
        "retention.ms": str(settings.retention_days * DAY_MS),
        "retention.bytes": "-1",
        "segment.ms": str(DAY_MS),
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(RECORD_BYTES_MAX),
        "min.insync.replicas": str(in_sync),
    }
    return WantedTopic(settings.partitions, replicas, configs)


def compare(
    topic: str, want: WantedTopic, partitions: int, replicas: int, configs: Mapping[str, str]
) -> list[str]:
    """One sentence per difference: its effect and what to do. More partitions, replicas or bytes
    than wanted are fine."""
    found = []
    if partitions < want.partitions:
        found.append(
            f"topic {topic} has {partitions} partitions, {want.partitions} are set: grow it as "
            "docs/scale.md says, or set fewer"
        )
    if replicas < want.replication_factor:
        found.append(
            f"topic {topic} has {replicas} replicas, {want.replication_factor} are set: reassign "
            "it, or set fewer"
        )
    for name, value in want.configs.items():
        has = configs.get(name)
        if (
            has is None
            or has == value
            or (name in ("max.message.bytes", "min.insync.replicas") and int(has) >= int(value))
        ):
            continue
        found.append(
            f"topic {topic} has {name}={has}, {value} is set: kafka-configs --alter --topic "
            f"{topic} --add-config {name}={value}"
        )
    return found


async def ensure(bootstrap: str, settings: KafkaSettings, topics: Iterable[str]) -> list[str]:
    """Create the missing `topics` (without prefix). Returns the differences of existing ones and
    those that we may not create. Raises Unavailable."""
    async with Admin(bootstrap, settings) as admin:
        names = [settings.topic_prefix + topic for topic in topics]
        made, refused = await admin.create(names)
        known = [name for name in names if name not in made and name not in refused]
        return [*refused.values(), *await admin.differences(known)]


async def differences(bootstrap: str, settings: KafkaSettings, topics: Iterable[str]) -> list[str]:
    """Topics that are missing or differ from the settings, for `doctor`. Changes nothing. Raises
    Unavailable."""
    async with Admin(bootstrap, settings) as admin:
        return await admin.differences([settings.topic_prefix + topic for topic in topics])


class Admin:
    """A short-lived connection for questions about topics. Every failure is Unavailable, within
    `request_timeout_s`."""

    def __init__(self, bootstrap: str, settings: KafkaSettings) -> None:
        self._settings = settings
        timeout_ms = int(settings.request_timeout_s * 1000)
        self._client: Any = AIOKafkaAdminClient(
            bootstrap_servers=bootstrap,
            request_timeout_ms=timeout_ms,
            **settings.security.options(),
        )

    async def __aenter__(self) -> "Admin":
        try:
            async with asyncio.timeout(self._settings.request_timeout_s):
                await self._client.start()
        except BaseException as error:
            await self._client.close()
            if isinstance(error, FAILURES):
                raise unavailable("no connection to Kafka", error) from error
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        await self._client.close()
        if isinstance(error, FAILURES):
            raise unavailable("Kafka does not answer", error) from error

    async def create(self, names: Collection[str]) -> tuple[set[str], dict[str, str]]:
        """Create the missing topics and wait until all can be written to.

        Returns the names created, and the names refused for good with a sentence each: one topic
        without permission must not stop the others.
        """
        want = wanted(self._settings, await self._brokers())
        existing = set(await self._client.list_topics())
        absent = [name for name in names if name not in existing]
        made, refused = set[str](), dict[str, str]()
        if absent:
            new = [
                NewTopic(
                    name, want.partitions, want.replication_factor, topic_configs=dict(want.configs)
                )
                for name in absent
            ]
            response = await self._client.create_topics(new)
            for name, code, message in response.topic_errors:
                error = for_code(code)
                if code == 0:
                    made.add(name)
                elif is_refusal(error()):
                    refused[name] = f"topic {name} cannot be made: {message or error.__name__}"
                elif error is not TopicAlreadyExistsError:  # another process was faster
                    raise Unavailable(
                        f"Kafka did not make topic {name}: {message or error.__name__}"
                    )
            await self._wait_for_leaders([name for name in absent if name not in refused])
        return made, refused

    async def differences(self, names: Collection[str]) -> list[str]:
        """As `compare`, for several topics."""
        if not names:
            return []
        want = wanted(self._settings, await self._brokers())
        partitions_of = {
            topic["topic"]: topic["partitions"]
            for topic in await self._client.describe_topics(list(names))
            if not topic["error_code"]
        }
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in partitions_of]
        configs: dict[str, dict[str, str]] = {}
        for response in await self._client.describe_configs(resources) if resources else []:
            for _code, _message, _type, name, entries in response.resources:
                configs[name] = {entry[0]: entry[1] for entry in entries}
        found = [
            f"topic {name} does not exist: start orderwire once, which makes it"
            for name in names
            if name not in partitions_of
        ]
        for name, partitions in partitions_of.items():
            replicas = min((len(partition["replicas"]) for partition in partitions), default=0)
            found += compare(name, want, len(partitions), replicas, configs.get(name, {}))
        return found

    async def _brokers(self) -> int:
        return len((await self._client.describe_cluster())["brokers"])

    async def _wait_for_leaders(self, names: Collection[str]) -> None:
        async with asyncio.timeout(self._settings.request_timeout_s):
            while True:
                topics = await self._client.describe_topics(list(names))
                if all(
                    not t["error_code"] and all(p["leader"] >= 0 for p in t["partitions"])
                    for t in topics
                ):
                    return
                await asyncio.sleep(0.05)
