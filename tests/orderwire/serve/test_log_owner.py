"""One deployment at a time reads the topics of a Kafka prefix."""

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest

from orderwire.serve.log_owner import GONE_S, TAKEN, deployment, keep_owned, owned
from simulator.servers.broker import KafkaBroker
from stream.log.contract import LogOwned, Owner
from stream.log.kafka.log import KafkaLog
from stream.log.kafka.settings import KafkaSettings
from stream.log.sqlite.log import SqliteLog
from stream.store.sql.store import SqlStore


async def at_once(seconds: float) -> None:
    """Nobody waits."""
    await asyncio.sleep(0)


async def test_a_second_deployment_on_a_prefix_waits_until_the_first_is_gone(
    kafka_broker: KafkaBroker,
) -> None:
    settings = KafkaSettings(topic_prefix=f"t{uuid4().hex[:8]}-", request_timeout_s=60.0)
    first = await KafkaLog.open(kafka_broker.bootstrap, settings, topics=["orders"])
    second = await KafkaLog.open(kafka_broker.bootstrap, settings, topics=["orders"])
    stop, seconds, reasons = asyncio.Event(), [0.0], list[str]()
    assert await first.owner() is None
    assert await owned(first, "one", stop, reasons.append, sleep=at_once)
    assert await owned(second, "one", stop, reasons.append, sleep=at_once)
    assert reasons == []

    looks = 0

    async def later(waited_s: float) -> None:
        nonlocal looks
        looks += 1
        seconds[0] += GONE_S / 2
        if looks < 4:
            await first.own("one")  # It lives.

    assert await owned(second, "other", stop, reasons.append, clock=lambda: seconds[0], sleep=later)
    assert looks >= 5
    assert set(reasons) == {TAKEN}
    with pytest.raises(LogOwned, match="another deployment"):
        await keep_owned(first, "one", sleep=at_once)
    await first.close()
    await second.close()


async def test_a_wait_for_the_log_ends_when_the_role_is_asked_to_stop(log: SqliteLog) -> None:
    stop = asyncio.Event()
    log.owner = _somebody  # type: ignore[method-assign]
    waiting = asyncio.create_task(owned(log, "other", stop, lambda _: stop.set()))
    async with asyncio.timeout(60):
        assert not await waiting


async def _somebody() -> Owner:
    return Owner("one", "alive")


async def test_brokers_that_are_away_hold_up_nothing_that_needs_none() -> None:
    away = KafkaSettings(request_timeout_s=0.5, topic_prefix="away-")
    log = await KafkaLog.open("127.0.0.1:1", away, topics=["orders"])
    async with asyncio.timeout(60):
        assert await owned(log, "one", asyncio.Event(), pytest.fail)
    await log.close()


async def test_a_second_deployment_on_a_file_waits_until_the_first_has_ended(
    tmp_path: Path,
) -> None:
    first = await SqliteLog.open(tmp_path / "log.db")
    second = await SqliteLog.open(tmp_path / "log.db")
    stop, reasons = asyncio.Event(), list[str]()
    assert await owned(first, "one", stop, reasons.append, sleep=at_once)
    assert await owned(second, "one", stop, reasons.append, sleep=at_once)
    assert reasons == []

    looks, seconds = 0, 0.0

    async def later(_: float) -> None:
        nonlocal looks, seconds
        looks, seconds = looks + 1, seconds + 2 * GONE_S
        if looks == 4:
            await first.close()

    assert await owned(second, "other", stop, reasons.append, clock=lambda: seconds, sleep=later)
    assert looks == 4, "however long the first lives"
    assert set(reasons) == {TAKEN}
    third = await SqliteLog.open(tmp_path / "log.db")
    with pytest.raises(LogOwned, match="another deployment"):
        await keep_owned(third, "one", sleep=at_once)
    await third.close()
    await second.close()


def test_a_deployment_is_its_store(store: SqlStore, other: SqlStore) -> None:
    assert deployment(store) == deployment(store)
    assert deployment(store) != deployment(other)
