"""A broker that is killed, and started again: what was acknowledged is there, what was refused is
not."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from simulator.servers.broker import KafkaBroker
from stream.log.contract import Log, Unavailable
from stream.log.kafka.log import KafkaLog
from stream.log.kafka.settings import KafkaSettings
from stream.log.spool import SpooledLog, SpoolState
from tests.contracts.log_kit import (
    PATIENCE_S,
    a_record,
    by_key,
    numbers,
    scan_all,
)
from tests.support.servers.turns import TURN_S


async def test_what_was_refused_and_given_up_does_not_reach_the_log_when_the_broker_is_back(
    broker_to_kill: KafkaBroker, settings: KafkaSettings
) -> None:
    """Part of it would: what waited behind a batch that failed, and so out of order."""
    hasty = replace(settings, partitions=1, ack_timeout_s=1.0, request_timeout_s=3.0)
    log = await KafkaLog.open(broker_to_kill.bootstrap, hasty, topics=["orders"])
    await log.append([a_record("orders", 0)])
    await asyncio.to_thread(broker_to_kill.kill)
    refused = []
    for n in range(1, 5):  # one in the producer's hands, one behind it, the rest in ours
        refused.append(asyncio.create_task(log.append([a_record("orders", n)])))
        await asyncio.sleep(0.1)
    assert {
        type(outcome) for outcome in await asyncio.gather(*refused, return_exceptions=True)
    } == {Unavailable}
    await asyncio.sleep(1.5 * hasty.request_timeout_s)  # the one behind is given up: nobody tells
    await asyncio.to_thread(broker_to_kill.restart)
    async with asyncio.timeout(PATIENCE_S):
        await until_up(log)
    await asyncio.sleep(1)  # whoever would still deliver has the time to
    assert numbers(await scan_all(log, "orders")) == [0]
    await log.close()


async def send_at_100_a_second(
    log: Log, ended: Callable[[], bool]
) -> tuple[list[int], list[int], float]:
    """Numbers acknowledged, numbers refused, and the longest time that one append took: in turns of
    the event loop of 10 ms each, so that a busy machine does not lengthen it
    (tests/support/servers/turns.py).
    """
    acknowledged: list[int] = []
    refused: list[int] = []
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
        await asyncio.sleep(TURN_S)
        turns += 1
    await asyncio.gather(*appends)
    return acknowledged, refused, most_turns * TURN_S


async def until_up(log: KafkaLog) -> None:
    while log.down is not None:  # noqa: ASYNC110 - it tells, and has no event for it
        await asyncio.sleep(0.05)


async def test_a_broker_killed_under_load_loses_nothing_acknowledged_and_a_spool_bridges_the_gap(
    broker_to_kill: KafkaBroker, settings: KafkaSettings, tmp_path: Path
) -> None:
    settings = KafkaSettings(
        partitions=6, topic_prefix=settings.topic_prefix, session_timeout_s=6.0
    )
    bare_settings = KafkaSettings(partitions=3, topic_prefix=settings.topic_prefix + "bare-")
    bare = await KafkaLog.open(broker_to_kill.bootstrap, bare_settings, topics=["orders"])
    spooled = await SpooledLog.open(
        await KafkaLog.open(broker_to_kill.bootstrap, settings, topics=["orders"]),
        tmp_path / "spool.db",
    )
    ended = asyncio.Event()
    sending = [
        asyncio.create_task(send_at_100_a_second(log, ended.is_set)) for log in (bare, spooled)
    ]
    await asyncio.sleep(1)
    await asyncio.to_thread(broker_to_kill.kill)
    async with asyncio.timeout(PATIENCE_S):
        while bare.down is None or not spooled.spooling or not spooled.spool_state().records:  # noqa: ASYNC110 - they tell when asked
            await asyncio.sleep(0.05)
    await asyncio.sleep(1)
    opened_during_outage = await KafkaLog.open(
        broker_to_kill.bootstrap, bare_settings, topics=["orders"]
    )
    with pytest.raises(Unavailable):
        await opened_during_outage.append([a_record("orders", 1)])
    await asyncio.to_thread(broker_to_kill.restart)
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
