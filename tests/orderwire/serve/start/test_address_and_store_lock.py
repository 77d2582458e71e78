"""A role's exclusive resources, and how long one process waits for another to release them."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from orderwire.serve.start.address import sockets
from orderwire.serve.start.store_lock import exclusive_store
from orderwire.settings.program import ConfigurationError, ListenAddress
from simulator.servers.broker import free_port

HOLD = """
import asyncio, pathlib, sys
from orderwire.serve.start.store_lock import exclusive_store
lock = asyncio.run(exclusive_store(pathlib.Path(sys.argv[1]), asyncio.Event()))
print("held", flush=True)
sys.stdin.read()
"""


def address(text: str) -> ListenAddress:
    return ListenAddress(text, "ORDERWIRE_RECEIVER")


async def test_a_store_is_one_process_roles_until_it_ends_however_that_happens(
    tmp_path: Path,
) -> None:
    path, stop = tmp_path / "data" / "state.db", asyncio.Event()
    first = subprocess.Popen(  # noqa: ASYNC220 - it starts in the background
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert first.stdout is not None
    assert await asyncio.to_thread(first.stdout.readline) == b"held\n"
    (tmp_path / "link").symlink_to(tmp_path / "data")
    with pytest.raises(ConfigurationError, match=r"state\.db.*another process role"):
        await exclusive_store(tmp_path / "link" / "state.db", stop, patience_s=0.0)
    heir = asyncio.create_task(exclusive_store(path, stop, patience_s=30.0))
    await asyncio.sleep(0)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    lock = await heir
    assert lock is not None
    lock.release()


async def test_who_is_asked_to_stop_waits_no_longer(tmp_path: Path) -> None:
    held = await exclusive_store(tmp_path / "state.db", asyncio.Event())
    assert held is not None
    stop = asyncio.Event()
    waiting = asyncio.create_task(exclusive_store(tmp_path / "state.db", stop))
    await asyncio.sleep(0)
    stop.set()
    assert await asyncio.wait_for(waiting, 5) is None
    held.release()


async def test_an_address_in_use_is_refused_with_its_variable_and_had_as_soon_as_it_is_free() -> (
    None
):
    port, stop = free_port(), asyncio.Event()
    with socket.create_server(("127.0.0.1", port)):
        with pytest.raises(
            ConfigurationError, match=f"ORDERWIRE_RECEIVER 127.0.0.1:{port}.*in use"
        ):
            await sockets(address(f"127.0.0.1:{port}"), stop, shared=False, patience_s=0.001)
        waiting = asyncio.create_task(sockets(address(f"127.0.0.1:{port}"), stop, shared=False))
        await asyncio.sleep(0)
    (bound,) = await asyncio.wait_for(waiting, 10)
    with bound:
        assert bound.getsockname() == ("127.0.0.1", port)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))


async def test_processes_may_share_an_address() -> None:
    here, stop = address(f"127.0.0.1:{free_port()}"), asyncio.Event()
    for one in [await sockets(here, stop, shared=True, patience_s=0.001) for _ in range(2)]:
        one[0].close()


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
async def test_an_address_that_is_not_this_machines_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match=f"ORDERWIRE_RECEIVER {host}:8081"):
        await sockets(address(f"{host}:8081"), asyncio.Event(), shared=False, patience_s=0.001)


async def test_a_name_with_several_addresses_is_all_of_those_that_this_machine_has() -> None:
    found = await sockets(address(f"localhost:{free_port()}"), asyncio.Event(), shared=False)
    assert "127.0.0.1" in {one.getsockname()[0] for one in found}
    for one in found:
        one.close()
