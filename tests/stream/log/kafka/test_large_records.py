"""Records and batches that are larger than a topic of the broker takes."""

import asyncio

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from simulator.servers.broker import KafkaBroker
from stream.log.contract import RecordsRefused
from stream.log.kafka.log import KafkaLog
from stream.log.kafka.settings import KafkaSettings
from tests.contracts.log_kit import (
    a_record,
    by_key,
    numbers,
    scan_all,
)


async def topic_of_small_records(broker: KafkaBroker, name: str, max_bytes: int) -> None:
    """As an operator may have made it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    configs = {"max.message.bytes": str(max_bytes)}
    await admin.create_topics([NewTopic(name, 3, 1, topic_configs=configs)])
    await admin.close()


async def test_records_too_large_for_their_topic_are_refused_and_all_others_are_there_once(
    kafka_broker: KafkaBroker, settings: KafkaSettings
) -> None:
    await topic_of_small_records(kafka_broker, settings.topic_prefix + "orders", 50_000)
    log = await KafkaLog.open(kafka_broker.bootstrap, settings, topics=["orders", "ads"])
    large = {n for n in range(400) if n % 10 == 3}
    answer: dict[int, RecordsRefused] = {}

    async def one(n: int) -> None:
        body = b"x" * (100_000 if n in large else 1_000)
        try:
            await log.append(
                [a_record("orders", n, key=f"k{n % 5}", body=body), a_record("ads", n)]
            )
        except RecordsRefused as refused:
            answer[n] = refused

    for start in range(0, 400, 100):
        await asyncio.gather(*(one(n) for n in range(start, start + 100)))
    assert set(answer) == large
    assert {refused.reason for refused in answer.values()} == {"too_large"}
    assert {len(refused.records) for refused in answer.values()} == {1}
    held = await scan_all(log, "orders")
    small = [n for n in range(400) if n not in large]
    assert sorted(numbers(held)) == small
    # Before that is known, a batch that came behind one that was refused may overtake its halves.
    known = {key: [n for n in found if n >= 100] for key, found in by_key(held).items()}
    assert known == {f"k{k}": [n for n in small if n % 5 == k and n >= 100] for k in range(5)}
    assert sorted(numbers(await scan_all(log, "ads"))) == list(range(400))
    await log.close()


async def test_a_batch_larger_than_its_topic_takes_goes_in_parts(
    kafka_broker: KafkaBroker, settings: KafkaSettings
) -> None:
    await topic_of_small_records(kafka_broker, settings.topic_prefix + "orders", 20_000)
    log = await KafkaLog.open(kafka_broker.bootstrap, settings, topics=["orders"])
    await log.append([a_record("orders", n, key="k", body=b"x" * 1_000) for n in range(500)])
    assert numbers(await scan_all(log, "orders")) == list(range(500))
    await log.close()
