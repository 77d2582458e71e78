"""The log on a real Kafka broker keeps the contract, and reports what others made of its topics.

One broker serves the whole session; the tests that kill it start it again.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import TopicPartition

from simulator.servers.broker import KafkaBroker
from stream.log.contract import Log, Stuck
from stream.log.kafka import topics as kafka_topics
from stream.log.kafka.log import KafkaLog
from stream.log.kafka.settings import KafkaSettings
from tests.contracts.log import LogContract
from tests.contracts.log_kit import (
    PATIENCE_S,
    Forget,
    OpenLog,
    a_record,
    from_the_first,
    numbers,
    read_until,
)
from tests.stream.log.kafka.conftest import PATIENT

PREFIX = f"t{uuid4().hex[:8]}-"

SETTINGS = replace(PATIENT, partitions=3, topic_prefix=PREFIX)


class TestKafkaLog(LogContract):
    @pytest.fixture
    def open_log(self, kafka_broker: KafkaBroker, topic: str, second_topic: str) -> OpenLog:
        async def open_log() -> Log:
            return await KafkaLog.open(
                kafka_broker.bootstrap, SETTINGS, topics=[topic, second_topic]
            )

        return open_log

    @pytest.fixture
    def forget(self, kafka_broker: KafkaBroker) -> Forget:
        async def forget(_: Log, topic: str, before: Mapping[int, int]) -> None:
            admin = AIOKafkaAdminClient(bootstrap_servers=kafka_broker.bootstrap)
            await admin.start()
            await admin.delete_records(
                {
                    TopicPartition(PREFIX + topic, partition): RecordsToDelete(before_offset=offset)
                    for partition, offset in before.items()
                }
            )
            await admin.close()

        return forget


async def test_what_comes_while_a_batch_is_folded_is_all_in_the_next_one(
    kafka_broker: KafkaBroker, settings: KafkaSettings
) -> None:
    log = await KafkaLog.open(kafka_broker.bootstrap, settings, topics=["orders"])
    reader = await log.reader("orders", "rfm", from_the_first)
    sizes = []
    for number in range(3):
        await log.append([a_record("orders", number, key="first")])
        assert numbers(await read_until(reader, 1)) == [number]
        for n in range(8):
            await log.append([a_record("orders", 100 * number + n, key=f"k{n}")])
        sizes.append(len(await reader.read(500, 5.0)))
        await read_until(reader, 8 - sizes[-1])
    assert max(sizes) == 8  # most: a fetch that a slow machine makes late may come between
    await reader.close()
    await log.close()


async def test_a_reader_that_sticks_says_so(
    kafka_broker: KafkaBroker, settings: KafkaSettings
) -> None:
    log = await KafkaLog.open(
        kafka_broker.bootstrap, replace(settings, partitions=1), topics=["orders"]
    )
    reader = await log.reader("orders", "rfm", from_the_first)
    await log.append([a_record("orders", 1)])
    assert numbers(await read_until(reader, 1)) == [1]
    # it fetches nothing more, as in aiokafka #1154
    reader._consumer._fetcher._fetch_task.cancel()  # type: ignore[attr-defined]
    # from now on: joining a group may take longer
    reader._watchdog.limit_s = 0.5  # type: ignore[attr-defined]
    await log.append([a_record("orders", 2)])
    with pytest.raises(Stuck, match="1 records wait"):
        async with asyncio.timeout(PATIENCE_S):
            while True:
                await reader.read(10, 0.1)
    await reader.close()
    await log.close()


async def test_a_topic_that_somebody_made_otherwise_is_reported_and_left_unchanged(
    kafka_broker: KafkaBroker, settings: KafkaSettings
) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_broker.bootstrap)
    await admin.start()
    name = settings.topic_prefix + "orders"
    await admin.create_topics(
        [
            NewTopic(
                name, 2, 1, topic_configs={"retention.ms": "3600000", "cleanup.policy": "compact"}
            )
        ]
    )
    await admin.close()
    log = await KafkaLog.open(kafka_broker.bootstrap, settings, topics=["orders", "ads"])
    await log.close()
    found = await kafka_topics.differences(
        kafka_broker.bootstrap, settings, ["orders", "ads", "spend"]
    )
    assert (
        found[0]
        == f"topic {settings.topic_prefix}spend does not exist: start orderwire once, which makes "
        "it"
    )
    assert {
        word for sentence in found[1:] for word in sentence.split() if "=" in word and "," in word
    } >= {
        "retention.ms=3600000,",
        "cleanup.policy=compact,",
    }
    assert all(name in sentence for sentence in found[1:])
    assert log.differences == found[1:]
