"""A role lives, or what is wrong with it: the listener answers 200, or the sign of life in the
store is fresh."""

import asyncio
import socket
import threading
from collections.abc import Mapping

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from orderwire import healthcheck
from orderwire.serve.reporting.heartbeat import Heartbeat, Identity
from orderwire.serve.role import ROLES
from orderwire.settings.program import ConfigurationError, ListenAddress, Settings
from simulator.servers.broker import free_port
from stream.store.sql.store import SqlStore

NOW_MS = 1_790_000_000_000


def beaten(store: SqlStore, role: str, host: str, beat_ms: int, pid: int = 7) -> None:
    with store.begin() as transaction:
        transaction.execute(
            "INSERT INTO roles (role, instance, pid, started_ms, restarts, beat_ms, details, "
            "metrics) VALUES (:role, :instance, :pid, 0, 0, :beat, '{}', '')",
            role=role,
            instance=f"{host}:{pid}",
            pid=pid,
            beat=beat_ms,
        )


def test_a_fresh_sign_of_life_is_healthy(store: SqlStore, store_url: str) -> None:
    beaten(store, "process", "box", NOW_MS - 5_000)

    assert healthcheck.beat_fault(store_url, "process", "box", NOW_MS) is None


def test_after_a_restart_the_new_process_counts(store: SqlStore, store_url: str) -> None:
    beaten(store, "process", "box", NOW_MS - 300_000, pid=7)
    beaten(store, "process", "box", NOW_MS - 1_000, pid=8)

    assert healthcheck.beat_fault(store_url, "process", "box", NOW_MS) is None


def test_an_old_sign_of_life_is_reported_with_its_age(store: SqlStore, store_url: str) -> None:
    beaten(store, "process", "box", NOW_MS - 90_000)

    assert healthcheck.beat_fault(store_url, "process", "box", NOW_MS) == "last heartbeat 90 s ago"


@pytest.mark.parametrize(
    ("role", "host"), [("query", "box"), ("process", "box2"), ("process", "bo")]
)
def test_the_signs_of_other_roles_and_hosts_do_not_count(
    store: SqlStore, store_url: str, role: str, host: str
) -> None:
    beaten(store, role, host, NOW_MS)

    assert (
        healthcheck.beat_fault(store_url, "process", "box", NOW_MS) == "no heartbeat in the store"
    )


def test_the_heartbeat_of_this_process_is_found(store: SqlStore, store_url: str) -> None:
    identity = Identity("process")
    heartbeat = Heartbeat(store, identity, dict)

    async def beat() -> None:
        beating = asyncio.create_task(heartbeat.run())
        while await asyncio.to_thread(
            healthcheck.beat_fault, store_url, "process", socket.gethostname(), identity.started_ms
        ):
            assert not beating.done()
        beating.cancel()

    asyncio.run(beat())


async def test_a_sign_of_life_that_was_being_written_at_the_end_does_not_outlive_the_farewell(
    store: SqlStore,
) -> None:
    begun, go = threading.Event(), threading.Event()

    def held() -> Mapping[str, str]:
        begun.set()
        go.wait()
        return {}

    heartbeat = Heartbeat(store, Identity("process"), held)
    beating = asyncio.create_task(heartbeat.run())
    await asyncio.to_thread(begun.wait)
    beating.cancel()
    leaving = asyncio.create_task(asyncio.to_thread(heartbeat.gone))
    await asyncio.wait(
        [leaving], timeout=0.2
    )  # gives a farewell that waits for nobody the time to be the first
    go.set()
    await leaving
    await asyncio.get_running_loop().shutdown_default_executor()  # the thread that beats has ended
    with store.snapshot() as snapshot:
        assert snapshot.query("SELECT role FROM roles") == []


def test_a_store_that_cannot_be_asked_is_reported_without_its_url() -> None:
    fault = healthcheck.beat_fault(
        "postgresql://nobody:secret@/gone?host=/nonexistent", "process", "box", NOW_MS
    )

    assert fault == "the store cannot be asked (OperationalError)"


@pytest.mark.parametrize(("status", "expected"), [(200, None), (503, "answers 503")])
async def test_a_listener_is_asked_on_loopback_for_its_healthz(
    status: int, expected: str | None
) -> None:
    async def healthz(_: web.Request) -> web.Response:
        return web.Response(status=status)

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    async with TestServer(app, host="127.0.0.1") as server:
        fault = await asyncio.to_thread(
            healthcheck.listener_fault,
            ListenAddress(f"0.0.0.0:{server.port}", "ORDERWIRE_RECEIVER"),
        )

    assert fault == expected or (
        fault is not None and expected is not None and fault.endswith(expected)
    )


def test_a_listener_that_is_not_there_is_reported() -> None:
    fault = healthcheck.listener_fault(ListenAddress(f"127.0.0.1:{free_port()}", "ORDERWIRE_API"))

    assert fault is not None
    assert fault.endswith("does not answer (ConnectionRefusedError)")


def settings(monkeypatch: pytest.MonkeyPatch, values: Mapping[str, str]) -> Settings:
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return Settings.load()


def test_every_role_can_be_asked(monkeypatch: pytest.MonkeyPatch, store_url: str) -> None:
    dead = {
        "ORDERWIRE_RECEIVER": f"127.0.0.1:{free_port()}",
        "ORDERWIRE_API": f"127.0.0.1:{free_port()}",
        "ORDERWIRE_STORE_URL": store_url,
    }
    loaded = settings(monkeypatch, dead)

    assert all(healthcheck.fault(role, loaded) for role in ROLES)
    with pytest.raises(ConfigurationError, match="sender is no role"):
        healthcheck.fault("sender", loaded)


def test_the_exit_code_and_one_line_say_it_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings(monkeypatch, {"ORDERWIRE_RECEIVER": f"127.0.0.1:{free_port()}"})

    assert healthcheck.main(["receive"]) == 1
    assert capsys.readouterr().out.startswith("receive: 127.0.0.1:")


def test_a_wrong_setting_is_unhealthy_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ORDERWIRE_RECEIVER", "everywhere")

    assert healthcheck.main(["receive"]) == 1
    assert "ORDERWIRE_RECEIVER" in capsys.readouterr().out
