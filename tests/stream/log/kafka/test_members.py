"""Members of a group on a real broker: whoever comes, goes or is killed, every record is folded
once."""

import asyncio
import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from simulator.servers.broker import KafkaBroker
from stream.log.contract import Reader
from stream.log.kafka.log import KafkaLog
from stream.log.kafka.settings import KafkaSettings
from stream.record import Entry
from tests.contracts.log_kit import (
    PATIENCE_S,
    a_record,
    from_the_first,
    numbers,
    read_until,
)


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
