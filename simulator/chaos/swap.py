"""Takes the log away and gives it back: on SQLite its file is renamed, on Kafka a topic is deleted
and made again. What is acknowledged meanwhile must be found in the end."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from simulator.chaos.installation import Installation
from simulator.chaos.traffic import ShopTraffic
from simulator.proof.sums import Differences
from stream.log.contract import Unavailable
from stream.log.kafka.topics import differences, ensure

NOTICED_S = 1.5
"""By then the receiver must have noticed; an answer may still be on its way for a moment."""
AWAY_S = 2.0
"""Beyond that; meanwhile nothing may be acknowledged."""
SWAPPED_TOPIC = "spend"
"""Neither shop has records in it: what a topic held is gone with it, whoever deletes it."""
AGAIN_S = 0.5
REQUEST_S, DELETE_S = 10, 20.0
"""Other faults may be at work."""


@contextmanager
def log_renamed(data: Path) -> Iterator[str]:
    """The log's file has another name during the block. It goes first and comes last, so that
    nobody finds it without its WAL."""
    files = [data / f"log.db{end}" for end in ("", "-shm", "-wal")]
    aside = [(path, path.with_name(f"away-{path.name}")) for path in files if path.exists()]
    for path, away in aside:
        path.rename(away)
    try:
        yield ""
    finally:
        for path, away in reversed(aside):
            away.rename(path)


async def log_away(
    there: Installation, traffic: Sequence[ShopTraffic]
) -> tuple[float, Differences]:
    """Seconds that the file was away, and what was wrong."""

    def acknowledged() -> int:
        return sum(one.answered.total() for one in traffic)

    began_s = time.monotonic()
    with log_renamed(there.data):
        await asyncio.sleep(NOTICED_S)
        before = acknowledged()
        await asyncio.sleep(AWAY_S)
        more = acknowledged() - before
    wrong = [f"{more} deliveries were acknowledged without it"] if more else []
    return time.monotonic() - began_s, wrong


@asynccontextmanager
async def topic_made_again(there: Installation) -> AsyncIterator[str]:
    """The topic is away during the block, and another one of its name is there after it."""
    settings = there.settings.kafka
    deadline = time.monotonic() + DELETE_S
    while not await _deleted(there, settings.topic_prefix + SWAPPED_TOPIC):
        if time.monotonic() > deadline:
            yield "not done: the broker does not answer"
            return
        await asyncio.sleep(AGAIN_S)
    try:
        yield ""
    finally:
        # The broker may be down, or not be done with the deletion: made is what stays.
        seen = 0
        while seen < 2:
            try:
                await ensure(there.to_kafka.address, settings, [SWAPPED_TOPIC])
                missing = await differences(there.to_kafka.address, settings, [SWAPPED_TOPIC])
                seen = 0 if missing else seen + 1
            except Unavailable:
                seen = 0
            await asyncio.sleep(AGAIN_S)


async def _deleted(there: Installation, topic: str) -> bool:
    """Whether the broker took the request."""
    admin: Any = AIOKafkaAdminClient(
        bootstrap_servers=there.broker.listens, request_timeout_ms=REQUEST_S * 1_000
    )
    try:
        async with asyncio.timeout(REQUEST_S):
            await admin.start()
            await admin.delete_topics([topic])
    except (KafkaError, OSError, TimeoutError):
        return False
    finally:
        await admin.close()
    return True
