"""The whole program on its two SQLite files, killed, stopped and misused: nothing acknowledged is
lost, nothing is counted twice."""

import asyncio
import re
import signal
import socket
from itertools import islice
from pathlib import Path
from random import Random

import orjson
import pytest

from processors.engine.parking import PARKED
from simulator.meta.replies import EventsCall, Faults, GraphReply, token_expired
from simulator.proof.oracle import expected_orders
from stream.record import Entry
from tests.system.checks import (
    assert_all,
    assert_api_agrees,
    assert_in_log,
    assert_shows_no_secrets,
    entity_rows,
    whole,
)
from tests.system.harness import ACCESS_TOKEN, System
from tests.system.load import Load, traffic
from tests.system.serve_process import PATIENCE_S, needs_proc

pytestmark = needs_proc
HURRIED = """
from orderwire.serve.start import address, store_lock
address.sockets.__kwdefaults__["patience_s"] = 2.0
store_lock.exclusive_store.__kwdefaults__["patience_s"] = 5.0
"""
"""For a `serve` that waits in vain: 15 and 60 s otherwise, which are for a previous one's end."""


@pytest.mark.timeout(
    1_800
)  # 26 starts: 40 s on a machine that does nothing else, 10 min on half a core
async def test_twenty_kills_at_random_moments_under_load_lose_nothing_and_count_nothing_twice(
    tmp_path: Path,
) -> None:
    random = Random(20_261_123)
    weather = Faults(seed=3, transient=0.03, ambiguous=0.05, resets=0.03)
    async with System(tmp_path, script=weather.script(), migrated=False) as system:
        await system.start()
        load = Load(system, rate=120)
        for kill in range(20):
            await asyncio.sleep(random.uniform(0.02, 0.8))
            await system.kill()
            if kill % 4 == 3:
                system.launch()
                await asyncio.sleep(random.uniform(0.1, 1.5))
                await system.kill()
            await system.start()
        sent = await load.end()
        await system.kill()
        system.end_leases()
        await system.start()
        await system.settled()
        assert await system.stop() == 0
        await assert_all(system, sent)
        assert sent.traffic.statuses[0] > 0, "kills have cut requests"
        assert len(sent.acknowledged) > 1_000


async def test_a_role_that_is_killed_starts_again_beside_the_others_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    random = Random(7)
    roles = ["receive", "process", "query"] * 2
    random.shuffle(roles)
    async with System(tmp_path, roles=("receive", "process", "query")) as system:
        await system.start()
        load = Load(system, rate=60)
        for role in roles:
            await asyncio.sleep(random.uniform(0.05, 0.6))
            assert system.serve is not None
            before = await system.serve.pid_when_running(role)
            system.serve.signal(signal.SIGKILL, role)
            await system.serve.pid_when_running(role, other_than=before)
        sent = await load.end()
        restarts = re.findall(r"ended by signal SIGKILL.*; starting it again", system.output())
        assert len(restarts) == len(roles)
        await system.kill()
        system.end_leases()
        await system.start()
        await system.settled()
        await assert_all(system, sent)
        await assert_api_agrees(system, expected_orders(sent.deliveries).values())


async def test_roles_end_with_a_killed_supervisor_so_that_the_next_serve_can_start(
    tmp_path: Path,
) -> None:
    async with System(tmp_path) as system:
        await system.start()
        load = Load(system, rate=60)
        await asyncio.sleep(0.5)
        orphaned = system.serve
        assert orphaned is not None
        orphaned.signal(signal.SIGKILL)
        system.launch()
        async with asyncio.timeout(PATIENCE_S):  # They finish what they began, as at any end.
            while orphaned.members():  # noqa: ASYNC110 - of another process there is nothing to await
                await asyncio.sleep(0.05)
        await system.until_healthy(
            system.receiver_url
        )  # the next one's answer, for nobody else is there
        sent = await load.end()
        await system.settled()
        assert await system.stop() == 0
        await assert_all(system, sent)


async def test_sigterm_under_load_finishes_what_was_begun_and_exits_0(tmp_path: Path) -> None:
    async with System(tmp_path) as system:
        load = None
        for _ in range(3):
            await system.start()
            load = load or Load(system, rate=60)
            await asyncio.sleep(0.7)
            assert await system.stop() == 0
        assert load is not None
        await system.start()
        sent = await load.end()
        await system.settled()
        assert await system.stop() == 0
        await assert_all(system, sent)
        assert system.graph.duplicates == 0, (
            "an orderly end leaves no event of which nobody knows whether Meta has it"
        )
        assert '"level": "error"' not in system.output()


async def test_processors_that_hang_never_touch_the_receivers_answers(tmp_path: Path) -> None:
    async with System(tmp_path) as system:
        await system.start()
        deliveries = traffic(system)
        first = await system.send(islice(deliveries, 50))
        # at work, and holding nothing: a process that is stopped with the log's lock in its hands
        # keeps it
        await system.settled()
        assert system.serve is not None
        system.serve.signal(signal.SIGSTOP, "process")
        sent = await system.send(islice(deliveries, 600), rate=200)
        system.serve.signal(signal.SIGCONT, "process")
        assert set(sent.traffic.statuses) <= {200, 400, 401}, (
            "no answer took 5 s, or the sender would have hung up (0)"
        )
        assert not sent.traffic.unexpected
        await system.settled()
        sent.deliveries[:0], sent.traffic.acknowledged[:0] = (
            first.deliveries,
            first.traffic.acknowledged,
        )
        await assert_all(system, sent)


@pytest.mark.parametrize(
    ("shop", "environment", "found"),
    [
        ({"margin": 7}, {}, "AD_MARGIN"),
        ({"access_token": ""}, {}, "META_ACCESS_TOKEN"),
        (
            {},
            {"ORDERWIRE_STORE_URL": "mysql://root:webhook-secret-5c1d@localhost/x"},
            "ORDERWIRE_STORE_URL",
        ),
        ({}, {"ORDERWIRE_RECEIVER": "everywhere"}, "ORDERWIRE_RECEIVER"),
    ],
)
async def test_a_configuration_that_cannot_work_ends_serve_with_78_and_its_reason(
    tmp_path: Path, shop: dict[str, str | float], environment: dict[str, str], found: str
) -> None:
    async with System(tmp_path, shop=shop) as system:
        assert await system.launch(environment=environment).ended() == 78
        assert found in system.output()
        assert "Traceback" not in system.output()
        assert_shows_no_secrets(system.output(), [])


async def test_roles_that_keep_dying_never_take_the_receiver_with_them_and_are_back_once_mended(
    tmp_path: Path,
) -> None:
    (tmp_path / "state.db").write_bytes(b"not a database" * 1_000)
    async with System(tmp_path, migrated=False) as system:
        await system.start()
        deliveries = traffic(system)
        first = await system.send(islice(deliveries, 50))
        assert not first.traffic.unexpected
        assert system.serve is not None
        async with asyncio.timeout(PATIENCE_S):
            while "death 6 in a row" not in system.output():  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.05)
        sent = await system.send(islice(deliveries, 50))
        assert not sent.traffic.unexpected
        assert "Traceback" not in system.output()
        (tmp_path / "state.db").unlink()
        sent.deliveries[:0], sent.traffic.acknowledged[:0] = (
            first.deliveries,
            first.traffic.acknowledged,
        )
        await system.settled()
        assert await system.stop() == 0
        await assert_all(system, sent)


async def test_a_second_serve_by_mistake_ends_with_78_while_the_first_goes_on(
    tmp_path: Path,
) -> None:
    async with System(tmp_path) as system:
        await system.start()
        assert await system.also("receive", "process", script=HURRIED).ended() == 78
        assert "another process role works on it" in system.output()
        assert "ddress already in use" in system.output()
        assert "Traceback" not in system.output()
        assert system.serve is not None
        assert system.serve.code is None
        assert not (await system.send(islice(traffic(system), 50))).traffic.unexpected


async def test_a_taken_port_ends_serve_before_anything_is_opened(tmp_path: Path) -> None:
    async with System(tmp_path, migrated=False) as system:
        host, port = system.receiver_url.removeprefix("http://").split(":")
        with socket.create_server((host, int(port))):
            assert await system.launch(roles=["receive"], script=HURRIED).ended() == 78
        assert not system.holds("log.db", "state.db")


async def test_each_kind_of_bad_delivery_gets_its_answer_and_what_is_signed_is_kept(
    tmp_path: Path,
) -> None:
    async with System(tmp_path) as system:
        await system.start()
        order = b'{"id": 1, "email": "somebody@example.com", "created_at": "not a time"}'
        cut = order[:-1]
        bad = [
            system.delivery("orders/create", order, "forged", secret="another", status=401),
            system.delivery(
                "orders/create", order, "stranger", shop="other.myshopify.com", status=401
            ),
            system.delivery("orders/create", b" " * (11 << 20), "large", status=413),
            system.delivery("orders/create", cut, "cut", status=400),
            system.delivery("metaobjects/create", b'{"id": 1}', "unknown"),
            system.delivery("orders/create", b'{"note": null}', "nameless"),
            system.delivery("orders/create", order, "timeless"),
            system.delivery("checkouts/update", b'{"token": "t", "updated_at": []}', "momentless"),
        ]
        sent = await system.send(bad, connections=1)
        assert not sent.traffic.unexpected
        assert await system.post("/webhooks/shopify", order) == 401
        assert await system.post("/webhooks/elsewhere", order) == 404
        await system.settled()
        async with system.log() as log:
            entries = await whole(log)
        assert_in_log(
            entries, [delivery for delivery in bad if delivery.expected_status in (200, 400)]
        )
        assert {entry.record.id for entry in entries} == {
            "cut",
            "unknown",
            "nameless",
            "timeless",
            "momentless",
        }
        with system.store() as store:
            reasons = {row.id.rpartition(":")[2]: row.reason for row in entity_rows(store, PARKED)}
        assert reasons == {
            "cut": "malformed_json",
            "unknown": "unknown_topic",
            "nameless": "no_order_id",
            "orders/0/" + _offset(entries, "timeless"): "malformed_timestamp",
            "checkouts/0/"
            + _offset(entries, "momentless"): "missing_fields:created_at,currency,total_price",
        }
        assert await system.stop() == 0
        assert_shows_no_secrets(system.output(), bad)


def _offset(entries: list[Entry], record_id: str) -> str:
    return next(
        str(entry.offset)
        for entry in entries
        if entry.record.id == record_id and entry.record.topic != "parked"
    )


async def test_neither_personal_data_nor_secrets_show_in_the_output_whatever_goes_wrong(
    tmp_path: Path,
) -> None:
    refused = {"on": True}

    def moody(call: EventsCall) -> GraphReply | None:
        return token_expired() if refused["on"] else None

    async with System(tmp_path, script=moody) as system:
        await system.start()
        deliveries = list(islice(traffic(system), 250))
        orders = [
            orjson.loads(d.body)
            for d in deliveries
            if d.topic == "orders/create" and d.kind == "genuine"
        ]
        odd = [
            system.delivery(
                "orders/create", orjson.dumps(order | {"id": 1 + n} | change), f"odd-{n}-{what}"
            )
            for n, order in enumerate([order for order in orders if order.get("customer")][:20])
            for what, change in {
                "currency": {"currency": "SEK"},
                "money": {"total_price": order["email"] or "twelve"},
                "time": {"updated_at": order["email"] or "noon"},
                "customer": {
                    "customer": [order["email"]],
                    "refunds": [order["customer"]],
                    "line_items": order["customer"],
                },
            }.items()
        ]
        sent = await system.send([*deliveries, *odd])
        assert not sent.traffic.unexpected
        await system.settled(outbox=False)
        assert system.serve is not None
        system.serve.signal(signal.SIGABRT, "process")
        await system.serve.pid_when_running("process")
        await system.settled(outbox=False)
        assert await system.stop() == 0
        assert "190" in system.output(), "an operator must see why nothing is sent"
        assert ACCESS_TOKEN not in system.output()
        assert_shows_no_secrets(system.output(), sent.deliveries)
