"""A topic that was deleted and made again is not read on from where the old one was."""

import asyncio
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from prometheus_client import CollectorRegistry

from orderwire.operation.moving.rewind import rewind, targets
from orderwire.operation.refused import Refused
from processors.engine.runner import Runner
from simulator.servers.broker import KafkaBroker
from stream.log.contract import Log, PositionLost, TopicReplaced
from stream.log.kafka import topics as kafka_topics
from stream.log.kafka.log import KafkaLog
from stream.log.kafka.settings import KafkaSettings
from stream.log.sqlite.log import SqliteLog
from stream.metrics import ProcessorMetrics
from stream.record import Record
from stream.store.sql.store import SqlStore
from tests.processors.engine.counting import Counting, counted, met, records, run_to_end

TOPIC = "orders"


def numbered(first: int, last: int) -> list[Record]:
    """Records of many keys, so of every partition."""
    return [
        Record(TOPIC, f"k{each.id}", each.id, each.time_ms, each.headers, each.body)
        for each in records(*map(str, range(first, last)))
    ]


def runner(log: Log, store: SqlStore) -> Runner[str]:
    return Runner(
        Counting(), log, store, metrics=ProcessorMetrics(CollectorRegistry(), Counting.name)
    )


async def fold(log: Log, store: SqlStore, *, up_to: int) -> None:
    """Until so many records are counted. Raises what the runner raises."""
    stop = asyncio.Event()
    running = asyncio.create_task(runner(log, store).run(stop))
    async with asyncio.timeout(60):
        while not running.done() and len(counted(store)) < up_to:  # noqa: ASYNC110 - a store
            await asyncio.sleep(0.02)
    stop.set()
    await running


async def go_on(log: Log, store: SqlStore) -> None:
    """What `orderwire replay --topic orders --from earliest` does."""
    spans = await log.spans(TOPIC)
    wanted = targets(spans, None, None)
    identity = await log.identity(TOPIC)
    assert rewind(store, TOPIC, {Counting.name}, wanted, spans, identity=identity)


async def test_another_log_file_is_noticed_though_it_is_longer_than_the_old_one(
    tmp_path: Path, store: SqlStore
) -> None:
    path = tmp_path / "another.db"
    old = await SqliteLog.open(path)
    await old.append(numbered(0, 5))
    await run_to_end(Counting(), old, store)
    await old.close()
    for file in list(tmp_path.glob("another.db*")):  # noqa: ASYNC240 - a few names
        file.unlink()
    log = await SqliteLog.open(path)
    await log.append(numbered(100, 120))
    with pytest.raises(TopicReplaced, match="replay --topic orders --from earliest"):
        await fold(log, store, up_to=6)
    assert len(counted(store)) == 5
    with pytest.raises(Refused, match="earliest"):
        rewind(
            store,
            TOPIC,
            {Counting.name},
            {0: 3},
            await log.spans(TOPIC),
            identity=await log.identity(TOPIC),
        )
    await go_on(log, store)
    await fold(log, store, up_to=25)
    assert counted(store) == dict.fromkeys((*range(5), *range(100, 120)), 1)
    await log.close()


async def test_a_log_that_was_moved_or_restored_is_the_same_log(
    tmp_path: Path, store: SqlStore
) -> None:
    old = await SqliteLog.open(tmp_path / "here" / "log.db")
    await old.append(numbered(0, 5))
    await run_to_end(Counting(), old, store)
    await old.close()
    (tmp_path / "here").rename(tmp_path / "there")
    log = await SqliteLog.open(tmp_path / "there" / "log.db")
    await log.append(numbered(5, 7))
    await fold(log, store, up_to=7)
    await log.close()


async def test_a_store_from_before_topics_were_told_apart_goes_on(
    log: SqliteLog, store: SqlStore
) -> None:
    await log.append(numbered(0, 5))
    await run_to_end(Counting(), log, store)
    with store.begin() as transaction:
        transaction.execute("DELETE FROM read_topic")
    await log.append(numbered(5, 7))
    await fold(log, store, up_to=7)


@pytest.fixture
def settings() -> KafkaSettings:
    return KafkaSettings(
        partitions=3,
        topic_prefix=f"t{uuid4().hex[:8]}-",
        session_timeout_s=6.0,
        ack_timeout_s=60.0,
        request_timeout_s=60.0,
        stuck_after_s=600.0,
    )


async def made_again(broker: KafkaBroker, settings: KafkaSettings, partitions: int) -> None:
    """Delete the topic and make it again."""
    name = settings.topic_prefix + TOPIC
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    await admin.delete_topics([name])
    async with asyncio.timeout(60):
        while name in await admin.list_topics():  # noqa: ASYNC110 - nothing to await
            await asyncio.sleep(0.05)
    await admin.close()
    await kafka_topics.ensure(broker.bootstrap, replace(settings, partitions=partitions), [TOPIC])


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_a_kafka_topic_that_was_made_again_while_nobody_read_is_noticed(
    kafka_broker: KafkaBroker, settings: KafkaSettings, store: SqlStore
) -> None:
    old = await KafkaLog.open(kafka_broker.bootstrap, settings, topics=[TOPIC])
    await old.append(numbered(0, 20))
    await fold(old, store, up_to=20)
    await old.close()
    await made_again(kafka_broker, settings, partitions=2)
    log = await KafkaLog.open(kafka_broker.bootstrap, settings, topics=[TOPIC])
    await log.append(numbered(100, 400))  # Every partition is longer than it was.
    with pytest.raises(TopicReplaced):
        await fold(log, store, up_to=21)
    await go_on(log, store)
    await fold(log, store, up_to=320)
    assert counted(store) == dict.fromkeys((*range(20), *range(100, 400)), 1)
    with store.snapshot() as snapshot:
        assert {each.partition for each in snapshot.positions()} <= {0, 1}
    await log.close()


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_a_kafka_topic_that_was_made_again_under_a_reader_is_noticed(
    kafka_broker: KafkaBroker, settings: KafkaSettings, store: SqlStore
) -> None:
    log = await KafkaLog.open(kafka_broker.bootstrap, settings, topics=[TOPIC])
    await log.append(numbered(0, 20))
    reading = asyncio.create_task(runner(log, store).run(asyncio.Event()))
    await met(lambda: len(counted(store)) == 20)
    await made_again(kafka_broker, settings, partitions=3)
    await log.append(numbered(100, 400))
    with pytest.raises(PositionLost, match="replay --topic orders --from earliest"):
        async with asyncio.timeout(90):
            await reading
    await go_on(log, store)
    await fold(log, store, up_to=320)
    await log.close()
