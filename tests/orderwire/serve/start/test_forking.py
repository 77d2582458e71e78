"""Roles as forks of the supervisor."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orderwire.serve.role import ROLES
from orderwire.serve.supervisor import SMALL

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="roles are forked on Linux only")


def run(program: str) -> str:
    """Its output: this process has threads, and is not to be forked."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={**os.environ, **SMALL},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_roles_share_starts_no_thread_and_opens_nothing() -> None:
    program = (
        "import os\n"
        "opened = lambda: sorted(os.readlink(f'/proc/self/fd/{each}') for each in"
        " os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{each}'))\n"
        "before = opened()\n"
        "from orderwire.serve.start.forking import preload\n"
        f"preload({list(ROLES)!r})\n"
        "print(len(os.listdir('/proc/self/task')), opened() == before)\n"
    )
    assert run(program) == "1 True"


@pytest.mark.parametrize(
    "url", ["sqlite:////nowhere/state.db", "postgresql://nobody@nowhere/orderwire"]
)
def test_no_role_imports_for_itself_what_opens_the_store(url: str) -> None:
    program = (
        "import os, sys\n"
        f"os.environ['ORDERWIRE_STORE_URL'] = {url!r}\n"
        "from orderwire.serve.start.forking import preload\n"
        "preload(['process'])\n"
        "before = set(sys.modules)\n"
        "from sqlalchemy import create_engine\n"
        "from stream.store.sql.dialect import dialect_of\n"
        f"create_engine(dialect_of({url!r}).engine_url({url!r}))\n"
        "print(sorted(set(sys.modules) - before))\n"
    )
    assert run(program) == "[]"


def test_a_forked_role_ends_by_the_signals_of_the_system_not_by_the_supervisors() -> None:
    program = (
        "import signal, time\n"
        "from orderwire.serve import role\n"
        "from orderwire.serve.start.forking import Forked\n"
        "signal.signal(signal.SIGTERM, lambda *_: None)\n"
        "role.main = lambda arguments: time.sleep(600)\n"
        "one = Forked(['query'])\n"
        "assert one.poll() is None\n"
        "one.terminate()\n"
        "print(one.wait(60), one.poll())\n"
    )
    assert run(program) == "-15 -15"


def test_a_forked_roles_exit_code_is_what_its_main_returned() -> None:
    program = (
        "from orderwire.serve import role\n"
        "from orderwire.serve.start.forking import Forked\n"
        "found = []\n"
        "for code in (0, 1, 78):\n"
        "    role.main = lambda arguments: code\n"
        "    found.append(Forked(['query']).wait(60))\n"
        "print(found)\n"
    )
    assert run(program) == "[0, 1, 78]"


def test_no_role_keeps_what_upgrades_the_schema_in_its_memory(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    program = (
        "import multiprocessing, os, sys\n"
        f"os.environ['ORDERWIRE_STORE_URL'] = {url!r}\n"
        "from orderwire.serve.start.forking import preload, upgrade\n"
        f"upgrade(preload({list(ROLES)!r}))\n"
        "for child in multiprocessing.active_children():\n"
        "    child.join()\n"
        "from stream.store.sql.store import SqlStore\n"
        f"SqlStore.open({url!r}).close()\n"
        "print([each for each in ('alembic', 'mako') if each in sys.modules])\n"
    )
    assert run(program) == "[]"
