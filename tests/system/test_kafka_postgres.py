"""The whole program on a real Kafka broker and PostgreSQL server, while one after the other is
taken away. Every scenario ends in `assert_all`, and the sender must have noticed nothing: no 5xx,
no connection cut, no answer later than 3 s."""

import asyncio
import re
import signal
import time
import uuid
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from processors.engine.parking import PARKED
from simulator.proof.sums import CELLS, ENTITIES
from simulator.servers.broker import KafkaBroker
from simulator.servers.postgres import PostgresServer
from stream.log.spool import read_state
from tests.system.checks import assert_all, assert_same, cell_rows, entity_rows, outbox_keys
from tests.system.harness import System
from tests.system.load import Load, traffic
from tests.system.serve_process import PATIENCE_S, needs_proc
from tests.system.traffic import Sent

pytestmark = needs_proc
ANSWER_MS = 5_000
"""What takes longer is a failed delivery to Shopify (docs/facts/shopify.md)."""
SESSION_S = 6
"""The least that a broker takes."""
ONE_SENDER_EACH = 32
"""Connections: as many as fall due while the first ones of an outage wait for their answer."""


def system_on(folder: Path, broker: KafkaBroker, store_url: str, **options: Any) -> System:
    """An installation with topics of its own; `options` are System's."""
    return System(
        folder,
        **options,
        log_url=f"kafka://{broker.bootstrap}",
        store_url=store_url,
        environment={
            "ORDERWIRE_KAFKA_TOPIC_PREFIX": f"{uuid.uuid4().hex[:8]}-",
            "ORDERWIRE_KAFKA_PARTITIONS": "3",
            "ORDERWIRE_KAFKA_SESSION_TIMEOUT_S": str(SESSION_S),
        },
    )


def assert_sender_noticed_nothing(sent: Sent) -> None:
    """Answers are those of a good day."""
    assert set(sent.traffic.statuses) <= {200, 400, 401}, sent.traffic.statuses
    assert 0 < sent.traffic.slowest_ms < ANSWER_MS


async def until(true: Callable[[], bool], what: str) -> None:
    """Wait for `true`, which may block."""
    deadline = time.monotonic() + PATIENCE_S
    while not await asyncio.to_thread(true):
        assert time.monotonic() < deadline, f"not within {PATIENCE_S} s: {what}"
        await asyncio.sleep(0.1)


def positions(system: System, topic: str = "orders") -> dict[tuple[str, int], int]:
    """How far each processor of `topic` is on each partition."""
    with system.store() as store, store.snapshot() as snapshot:
        return {
            (p.processor, p.partition): p.next for p in snapshot.positions() if p.topic == topic
        }


def beat_ms(system: System, pid: int) -> int:
    """When the process last gave a sign of life."""
    with system.store() as store, store.snapshot() as snapshot:
        return int(snapshot.query("SELECT beat_ms FROM roles WHERE pid = :pid", pid=pid)[0][0])


def counted(system: System, name: str) -> dict[int, float]:
    """Sum of a counter, by the process that counted it; all processes where `name` is empty."""
    found: dict[int, float] = {}
    for line in system.metrics().splitlines():
        sample = re.fullmatch(r'(\w+)\{role="\w+",instance="[^"]*:(\d+)".*\} (\S+)', line)
        if sample is not None:
            value = float(sample[3]) if sample[1] == name else 0.0
            found[int(sample[2])] = found.get(int(sample[2]), 0.0) + value
    return found


async def test_on_a_quiet_day_everything_arrives_and_is_counted_once(
    tmp_path: Path, kafka_broker: KafkaBroker, postgres_url: str
) -> None:
    async with system_on(tmp_path, kafka_broker, postgres_url) as system:
        await system.start()
        sent = await system.send(islice(traffic(system), 400), rate=200)
        await system.settled()
        assert await system.stop() == 0
        assert_sender_noticed_nothing(sent)
        await assert_all(system, sent)
        assert '"level": "error"' not in system.output()
        assert system.graph.duplicates == 0


async def test_a_broker_killed_and_restarted_twice_under_load_costs_nothing(
    tmp_path: Path, broker_to_kill: KafkaBroker, own_postgres_url: str
) -> None:
    async with system_on(tmp_path, broker_to_kill, own_postgres_url) as system:
        await system.start()
        async with Load(system, rate=20, connections=ONE_SENDER_EACH) as load:
            for _ in range(2):
                await asyncio.sleep(2)
                await asyncio.to_thread(broker_to_kill.kill)
                await asyncio.to_thread(broker_to_kill.restart)
                await asyncio.sleep(3)
            sent = await load.end()
        await system.settled()
        assert await system.stop() == 0
        assert_sender_noticed_nothing(sent)
        await assert_all(system, sent)


async def test_a_broker_gone_for_20_s_is_bridged_by_the_spool(
    tmp_path: Path, broker_to_kill: KafkaBroker, own_postgres_url: str
) -> None:
    async with system_on(tmp_path, broker_to_kill, own_postgres_url) as system:
        await system.start()
        async with Load(system, rate=15, connections=ONE_SENDER_EACH) as load:
            await asyncio.sleep(1)
            await asyncio.to_thread(broker_to_kill.kill)
            await asyncio.sleep(20)
            await until(
                lambda: read_state(system.settings.spool).records > 150,
                "more than a handful in the spool",
            )
            await asyncio.to_thread(broker_to_kill.restart)
            await asyncio.sleep(2)
            sent = await load.end()
        await system.settled()
        assert await system.stop() == 0
        assert read_state(system.settings.spool).records == 0
        assert_sender_noticed_nothing(sent)
        await assert_all(system, sent)


async def test_a_database_restarted_twice_loses_no_effect_and_repeats_none(
    tmp_path: Path,
    kafka_broker: KafkaBroker,
    postgres_server: PostgresServer,
    own_postgres_url: str,
) -> None:
    async with system_on(tmp_path, kafka_broker, own_postgres_url) as system:
        await system.start()
        async with Load(system, rate=50) as load:
            for crash in (False, True):
                await asyncio.sleep(2)
                await postgres_server.restart_soon(crash=crash)
            await asyncio.sleep(2)
            sent = await load.end()
        await system.settled()
        assert await system.stop() == 0
        assert_sender_noticed_nothing(sent)
        await assert_all(system, sent)


async def test_processors_killed_ten_times_while_they_become_three_and_one_again_leave_no_trace(
    tmp_path: Path, kafka_broker: KafkaBroker, own_postgres_url: str
) -> None:
    random = Random(41)
    victims = [0, 1, 2] * 3 + [
        0
    ]  # a supervisor gives up on a role that dies six times within a minute
    random.shuffle(victims)
    async with system_on(tmp_path, kafka_broker, own_postgres_url) as system:
        await system.start(roles=["receive"])
        processors = [system.also("process")]
        async with Load(system, rate=30) as load:
            await until(lambda: bool(positions(system)), "one processor at work")
            processors += [system.also("process"), system.also("process")]
            for victim in victims:
                await asyncio.sleep(random.uniform(0.2, 2.5))
                await processors[victim].pid_when_running("process")
                processors[victim].signal(signal.SIGKILL, "process")
            for one in reversed(processors):
                await one.pid_when_running("process")
                one.signal(signal.SIGTERM)
                assert await one.ended() == 0
            sent = await load.end()
        system.end_leases()
        system.also("process")
        await system.settled()
        assert_sender_noticed_nothing(sent)
        await assert_all(system, sent)


async def test_a_processor_paused_past_its_session_comes_back_as_a_zombie_and_is_fenced(
    tmp_path: Path, kafka_broker: KafkaBroker, own_postgres_url: str
) -> None:
    async with system_on(tmp_path, kafka_broker, own_postgres_url) as system:
        await system.start(roles=["receive"])
        zombie, heir = system.also("process"), system.also("process")
        async with Load(system, rate=80) as load:
            await until(
                lambda: (
                    sum(
                        folded > 0 for folded in counted(system, "orderwire_records_total").values()
                    )
                    == 2
                ),
                "both at work",
            )
            pid = await zombie.pid_when_running("process")
            fenced = counted(system, "orderwire_fenced_total")[pid]

            def is_fenced() -> bool:
                return counted(system, "orderwire_fenced_total")[pid] > fenced

            # Paused with no batch in its hands it has nothing to be fenced for, and learns of its
            # heir first.
            while not is_fenced():
                zombie.signal(signal.SIGSTOP, "process")
                await asyncio.sleep(0.5)
                before = positions(system)
                await until(
                    lambda before=before: all(
                        after > before.get(place, 0) for place, after in positions(system).items()
                    ),  # type: ignore[misc]
                    "the heir owns everything",
                )
                back_ms = time.time_ns() // 1_000_000 + 3_000
                zombie.signal(signal.SIGCONT, "process")
                await until(
                    lambda back_ms=back_ms: (
                        is_fenced()  # type: ignore[misc]
                        or beat_ms(system, pid) > back_ms
                    ),
                    "the zombie is back",
                )
            sent = await load.end()
        assert heir.code is None
        await system.settled()
        assert_sender_noticed_nothing(sent)
        await assert_all(system, sent)


async def test_two_receivers_three_processors_and_two_query_servers_make_the_totals_of_one_each(
    tmp_path: Path,
    kafka_broker: KafkaBroker,
    postgres_server: PostgresServer,
    own_postgres_url: str,
) -> None:
    another_url = postgres_server.create_database(f"another_{uuid.uuid4().hex[:8]}")
    async with (
        system_on(tmp_path / "many", kafka_broker, own_postgres_url) as many,
        system_on(tmp_path / "one", kafka_broker, another_url) as one,
    ):
        await many.start(roles=["receive", "process", "query"])
        many.also("receive", "process", "query")
        many.also("process")
        await until(lambda: len(counted(many, "")) == 7, "seven roles alive")

        def shares() -> list[int]:
            found = [
                counted(many, f"orderwire_{what}_total")
                for what in ("deliveries", "records", "api_answers")
            ]
            return [sum(share > 0 for share in by_pid.values()) for by_pid in found]

        async with Load(many, rate=25, connections=ONE_SENDER_EACH) as load:
            await asyncio.sleep(6)
            await until(lambda: shares()[:2] == [2, 3], "each has received or folded something")
            sent = await load.end()
        await many.settled()
        answers = [
            await many.fresh(path, headers=NEW_CONNECTION) for path in PATHS for _ in range(8)
        ]
        await until(lambda: shares() == [2, 3, 2], "each has answered something")
        assert await many.stop() == 0
        assert_sender_noticed_nothing(sent)
        await assert_all(many, sent)

        await one.start(roles=["receive", "process", "query"])
        await one.send(sent.deliveries)
        await one.settled()
        with many.store() as left, one.store() as right:
            for entities in set(ENTITIES) - {
                PARKED
            }:  # those are named by where they stand in the log
                assert_same(
                    entities.table, entity_rows(left, entities), entity_rows(right, entities)
                )
            for cells in CELLS:
                assert_same(cells.table, cell_rows(left, cells), cell_rows(right, cells))
            assert_same("outbox", outbox_keys(left), outbox_keys(right))
        for path, answer in zip((path for path in PATHS for _ in range(8)), answers, strict=True):
            assert numbers(answer) == numbers(await one.fresh(path)), path


PATHS = ("/v1/rfm", "/v1/budget")
NEW_CONNECTION = {"Connection": "close"}
"""So that the kernel chooses a server anew."""


def numbers(answer: tuple[int, Any]) -> dict[str, Any]:
    """What was answered, but for when, and for a model fitted at some moment."""
    status, body = answer
    assert status == 200, body
    return {name: value for name, value in body.items() if name not in ("as_of", "ltv_predicted")}
