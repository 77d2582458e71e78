"""The log on a real Kafka broker keeps the contract, and what only Kafka can be asked: rebalances,
kills, topics made by others.

One broker serves the whole session; the tests that kill it start it again.
"""

import asyncio
import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import TopicPartition

from simulator.servers.broker import KafkaBroker
from stream.log.contract import Log, Reader, RecordsRefused, Stuck, Unavailable
from stream.log.kafka import topics as kafka_topics
from stream.log.kafka.log import KafkaLog
from stream.log.kafka.settings import KafkaSettings
from stream.log.spool import SpooledLog, SpoolState
from stream.record import Entry
from tests.contracts.log import LogContract
from tests.contracts.log_kit import (
    PATIENCE_S,
    Forget,
    OpenLog,
    a_record,
    by_key,
    from_the_first,
    numbers,
    read_until,
    scan_all,
)

PREFIX = f"t{uuid4().hex[:8]}-"
PATIENT = KafkaSettings(
    session_timeout_s=6.0, ack_timeout_s=60.0, request_timeout_s=60.0, stuck_after_s=600.0
)
"""For tests that are not about time: a broker on a busy machine may need longer than a shop would
wait."""
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


@pytest.fixture
def settings() -> KafkaSettings:
    """Topics of the test's own."""
    return replace(PATIENT, partitions=6, topic_prefix=f"t{uuid4().hex[:8]}-")


class Positions:
    """What the store does for a group: positions that move by compare-and-set."""

    def __init__(self) -> None:
        self.next: dict[int, int] = defaultdict(int)
        self.folded: list[int] = []

    async def start(self, partitions: Collection[int]) -> Mapping[int, int]:
        return {partition: self.next[partition] for partition in partitions}

    async def fold(self, reader: Reader, ended: Callable[[], bool]) -> None:
        """A processor: read, fold under the fence, reload when fenced. The pause lets rebalances
        fall between reading and saving."""
        loaded: dict[int, int] = {}
        while not ended():
            by_partition: dict[int, list[Entry]] = defaultdict(list)
            for entry in await reader.read(40, 0.2):
                by_partition[entry.partition].append(entry)
            await asyncio.sleep(0.02)
            for partition, entries in by_partition.items():
                expected = loaded.get(partition, entries[0].offset)
                if expected != self.next[partition]:
                    loaded.clear()
                    await reader.reload()
                    break
                self.folded += numbers(entries)
                self.next[partition] = loaded[partition] = entries[-1].offset + 1


async def test_members_that_come_and_go_fold_every_record_once(
    kafka_broker: KafkaBroker, settings: KafkaSettings
) -> None:
    log = await KafkaLog.open(kafka_broker.bootstrap, settings, topics=["orders"])
    positions = Positions()
    count = 2_400
    come, go = asyncio.Event(), asyncio.Event()

    async def produce() -> None:
        for n in range(0, count, 20):
            await log.append([a_record("orders", m, key=f"k{m}") for m in range(n, n + 20)])
            if n >= 400:
                come.set()
            if n >= 1_600:
                go.set()
            await asyncio.sleep(0.03)

    def all_folded() -> bool:
        return len(positions.folded) >= count

    async def guest(after: Callable[[], bool]) -> None:
        reader = await log.reader("orders", "rfm", positions.start)
        await positions.fold(reader, after)
        await reader.close()

    producing = asyncio.create_task(produce())
    first = asyncio.create_task(guest(all_folded))
    async with asyncio.timeout(PATIENCE_S):
        await come.wait()
        guests = [asyncio.create_task(guest(go.is_set)) for _ in range(2)]
        await asyncio.gather(producing, first, *guests)
    await log.close()
    assert sorted(positions.folded) == list(range(count))


async def test_three_members_share_the_partitions_and_the_last_one_has_them_all(
    kafka_broker: KafkaBroker, settings: KafkaSettings
) -> None:
    log = await KafkaLog.open(kafka_broker.bootstrap, settings, topics=["orders"])
    readers = [await log.reader("orders", "carts", from_the_first) for _ in range(3)]

    async def owned(by: list[Reader], done: Callable[[list[int]], bool]) -> list[int]:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                await asyncio.gather(*(reader.read(1, 0.1) for reader in by))
                shares = sorted(len(reader.partitions) for reader in by)  # type: ignore[attr-defined]
                if done(shares):
                    return shares

    assert await owned(readers, lambda shares: sum(shares) == 6 and 0 not in shares) == [2, 2, 2]
    for reader in readers[1:]:
        await reader.close()
    assert await owned(readers[:1], lambda shares: shares == [6]) == [6]
    await readers[0].close()
    await log.close()


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


READS = """
import asyncio, sys
from stream.log.kafka.log import KafkaLog
from stream.log.kafka.settings import KafkaSettings

async def main():
    settings = KafkaSettings(
        partitions=6, topic_prefix=sys.argv[2], session_timeout_s=180, request_timeout_s=60,
        member="one",
    )
    log = await KafkaLog.open(sys.argv[1], settings, topics=["orders"])

    async def start(partitions):
        return {}

    reader = await log.reader("orders", "rfm", start)
    while True:
        for entry in await reader.read(10, 1.0):
            print(entry.offset, flush=True)

asyncio.run(main())
"""
"""A member of a group that is killed."""


async def test_a_killed_member_is_followed_by_its_next_process_before_its_session_ends(
    kafka_broker: KafkaBroker, settings: KafkaSettings
) -> None:
    # The session lasts longer than anything here is waited for.
    named = replace(settings, session_timeout_s=180.0, member="one")
    log = await KafkaLog.open(kafka_broker.bootstrap, named, topics=["orders"])
    await log.append([a_record("orders", 0)])
    killed = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        READS,
        kafka_broker.bootstrap,
        settings.topic_prefix,
        stdout=asyncio.subprocess.PIPE,
    )
    assert killed.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        assert await killed.stdout.readline() == b"0\n"
    killed.kill()
    await killed.wait()
    positions = Positions()
    async with asyncio.timeout(60):
        reader = await log.reader("orders", "rfm", positions.start)
        assert len(await read_until(reader, 1)) == 1
    # One that ends in order leaves its place to whoever is there, of whatever name.
    await reader.close()
    other = await KafkaLog.open(
        kafka_broker.bootstrap, replace(named, member="two"), topics=["orders"]
    )
    async with asyncio.timeout(60):
        reader = await other.reader("orders", "rfm", positions.start)
        assert len(await read_until(reader, 1)) == 1
    await reader.close()
    await other.close()
    await log.close()


async def test_what_was_refused_and_given_up_does_not_reach_the_log_when_the_broker_is_back(
    kafka_broker: KafkaBroker, settings: KafkaSettings
) -> None:
    """Part of it would: what waited behind a batch that failed, and so out of order."""
    if not kafka_broker.owned:
        pytest.skip("the broker given by ORDERWIRE_TEST_KAFKA is not ours to kill")
    hasty = replace(settings, partitions=1, ack_timeout_s=1.0, request_timeout_s=3.0)
    log = await KafkaLog.open(kafka_broker.bootstrap, hasty, topics=["orders"])
    await log.append([a_record("orders", 0)])
    await asyncio.to_thread(kafka_broker.kill)
    refused = []
    for n in range(1, 5):  # one in the producer's hands, one behind it, the rest in ours
        refused.append(asyncio.create_task(log.append([a_record("orders", n)])))
        await asyncio.sleep(0.1)
    assert {
        type(outcome) for outcome in await asyncio.gather(*refused, return_exceptions=True)
    } == {Unavailable}
    await asyncio.sleep(1.5 * hasty.request_timeout_s)  # the one behind is given up: nobody tells
    await asyncio.to_thread(kafka_broker.restart)
    async with asyncio.timeout(PATIENCE_S):
        await until_up(log)
    await asyncio.sleep(1)  # whoever would still deliver has the time to
    assert numbers(await scan_all(log, "orders")) == [0]
    await log.close()


async def send_at_200_a_second(
    log: Log, ended: Callable[[], bool]
) -> tuple[list[int], list[int], float]:
    """Numbers acknowledged, numbers refused, and the longest time that one append took: in turns of
    the event loop of 5 ms each, so that a busy machine does not lengthen it
    (tests/support/servers/turns.py).
    """
    acknowledged: list[int] = []
    refused: list[int] = []
    turn_s = 0.005
    turns = most_turns = 0

    async def one(n: int) -> None:
        nonlocal most_turns
        begun = turns
        try:
            await log.append([a_record("orders", n, key=f"k{n % 20}")])
            acknowledged.append(n)
        except Unavailable:
            refused.append(n)
        most_turns = max(most_turns, turns - begun)

    appends: list[asyncio.Task[None]] = []
    while not ended():
        appends.append(asyncio.create_task(one(len(appends))))
        await asyncio.sleep(turn_s)
        turns += 1
    await asyncio.gather(*appends)
    return acknowledged, refused, most_turns * turn_s


async def until_up(log: KafkaLog) -> None:
    while log.down is not None:  # noqa: ASYNC110 - it tells, and has no event for it
        await asyncio.sleep(0.05)


async def test_a_broker_killed_under_load_loses_nothing_acknowledged_and_a_spool_bridges_the_gap(
    kafka_broker: KafkaBroker, settings: KafkaSettings, tmp_path: Path
) -> None:
    if not kafka_broker.owned:
        pytest.skip("the broker given by ORDERWIRE_TEST_KAFKA is not ours to kill")
    settings = KafkaSettings(
        partitions=6, topic_prefix=settings.topic_prefix, session_timeout_s=6.0
    )
    bare_settings = KafkaSettings(partitions=3, topic_prefix=settings.topic_prefix + "bare-")
    bare = await KafkaLog.open(kafka_broker.bootstrap, bare_settings, topics=["orders"])
    spooled = await SpooledLog.open(
        await KafkaLog.open(kafka_broker.bootstrap, settings, topics=["orders"]),
        tmp_path / "spool.db",
    )
    ended = asyncio.Event()
    sending = [
        asyncio.create_task(send_at_200_a_second(log, ended.is_set)) for log in (bare, spooled)
    ]
    await asyncio.sleep(1)
    await asyncio.to_thread(kafka_broker.kill)
    async with asyncio.timeout(PATIENCE_S):
        while bare.down is None or not spooled.spooling or not spooled.spool_state().records:  # noqa: ASYNC110 - they tell when asked
            await asyncio.sleep(0.05)
    await asyncio.sleep(1)
    opened_during_outage = await KafkaLog.open(
        kafka_broker.bootstrap, bare_settings, topics=["orders"]
    )
    with pytest.raises(Unavailable):
        await opened_during_outage.append([a_record("orders", 1)])
    await asyncio.to_thread(kafka_broker.restart)
    async with asyncio.timeout(PATIENCE_S):
        await spooled.drained()
        for log in (bare, opened_during_outage):
            await until_up(log)
    await asyncio.sleep(0.5)
    ended.set()
    (
        (bare_acknowledged, bare_refused, bare_slowest_s),
        (acknowledged, refused, slowest_s),
    ) = await asyncio.gather(*sending)
    await spooled.drained()

    assert bare_refused
    assert set(numbers(await scan_all(bare, "orders"))) >= set(bare_acknowledged)
    assert bare_slowest_s < 3
    assert refused == []
    assert slowest_s < 3
    entries = await scan_all(spooled, "orders")
    assert set(numbers(entries)) == set(acknowledged)
    for key, found in by_key(entries).items():
        first_seen = list(dict.fromkeys(found))
        assert first_seen == sorted(first_seen), key
    assert spooled.spool_state() == SpoolState(0, 0, None)
    await asyncio.gather(bare.close(), spooled.close(), opened_during_outage.close())


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
