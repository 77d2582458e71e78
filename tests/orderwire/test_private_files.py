"""Files that hold bodies or secrets are their owner's only, whatever the umask."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orderwire.private_files import readable_by_others, tighten
from orderwire.serve.start.open_files import ENOUGH
from orderwire.settings.program import Settings
from simulator.servers.broker import free_port
from tests.support.servers.forks import Forked
from tests.support.shops.shop_world import VARIABLES

ROLE = """
import os, resource, sys
os.umask(0)
resource.setrlimit(resource.RLIMIT_NOFILE, (512, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
from orderwire.serve.role import main
sys.exit(main())
"""


@contextmanager
def started(role: str, folder: Path, made: str, **variables: str) -> Iterator[int]:
    """The id of a role that was begun with umask 0 and few open files, once it has made a file."""
    settings = VARIABLES | {
        "ORDERWIRE_LOG_URL": f"sqlite:///{folder / 'log.db'}",
        "ORDERWIRE_STORE_URL": f"sqlite:///{folder / 'state.db'}",
        "ORDERWIRE_RECEIVER": f"127.0.0.1:{free_port()}",
        **variables,
    }
    output = folder.parent / f"{role}.log"
    process = Forked([role], os.environ | settings, folder.parent, output, ROLE)
    try:
        deadline_s = time.monotonic() + 120
        while not (folder / made).exists() and time.monotonic() < deadline_s:
            time.sleep(0.05)
        yield process.pid
        process.send_signal(signal.SIGTERM)
        process.wait()
    finally:
        process.kill()


def assert_private(folder: Path, name: str) -> None:
    made = {path.name: oct(path.stat().st_mode & 0o777) for path in folder.iterdir()}
    assert name in made
    assert set(made.values()) == {"0o600"}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_role_makes_private_files_in_a_private_folder(tmp_path: Path) -> None:
    with started("process", tmp_path / "data", "state.db"):
        pass
    assert_private(tmp_path / "data", "state.db")


@pytest.mark.skipif(sys.platform != "linux", reason="limits of another process are in /proc")
def test_a_receiver_has_a_private_spool_and_the_open_files_that_it_may_have(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "data"
    kafka = {"ORDERWIRE_LOG_URL": "kafka://127.0.0.1:1", "ORDERWIRE_SPOOL": f"{folder}/spool.db"}
    with started("receive", folder, "spool.db", **kafka) as pid:
        deadline_s, soft, allowed = time.monotonic() + 120, "512", ""
        while soft == "512" and time.monotonic() < deadline_s:
            limits = Path(f"/proc/{pid}/limits").read_text()
            (line,) = (line for line in limits.splitlines() if line.startswith("Max open files"))
            soft, allowed = line.split()[3:5]
    assert int(soft) == min(int(allowed), ENOUGH)
    assert_private(folder, "spool.db")


def test_files_of_an_older_version_are_closed(tmp_path: Path) -> None:
    store, beside = tmp_path / "state.db", tmp_path / "state.db-wal"
    settings = Settings.load(VARIABLES | {"ORDERWIRE_STORE_URL": f"sqlite:///{store}"})
    for path in (store, beside):
        path.touch(0o644)
    tighten(settings)
    assert not readable_by_others(store)
    assert not readable_by_others(beside)
