"""The supervisor with roles that are small programs of the test."""

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from orderwire.serve.supervisor import EX_CONFIG, PAUSES_S, Supervisor

LIVES = "import time; time.sleep(600)"
DIES = "raise SystemExit(1)"
CANNOT = f"raise SystemExit({EX_CONFIG})"


def supervisor(**programs: str) -> Supervisor:
    return Supervisor(
        list(programs),
        start=lambda child: Popen([sys.executable, "-S", "-c", programs[child.role]]),
        pauses_s=(0.0, 0.01),
    )


def looked_at(one: Supervisor, until: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not until():
        assert time.monotonic() < deadline
        for child in one._children:
            one._look(child)
        time.sleep(0.01)


def test_a_role_that_keeps_dying_is_started_again_for_ever_and_takes_nobody_with_it() -> None:
    one = supervisor(receive=LIVES, process=DIES)
    receive, process = one._children
    try:
        looked_at(one, lambda: process.restarts >= 12)
        assert receive.process is not None
        assert receive.process.poll() is None
        assert receive.restarts == 0
    finally:
        one._end()


def test_a_configuration_that_cannot_work_is_final_for_its_role_and_no_other(
    capsys: pytest.CaptureFixture[str],
) -> None:
    one = supervisor(receive=LIVES, query=CANNOT)
    receive, query = one._children
    try:
        looked_at(one, lambda: query.given_up)
        for _ in range(10):
            one._look(query)
        assert query.process is None
        assert receive.process is not None
        assert receive.process.poll() is None
        assert "role query cannot start with this configuration" in capsys.readouterr().err
    finally:
        one._end()


def test_serve_ends_where_no_roles_configuration_can_work() -> None:
    assert supervisor(receive=CANNOT, query=CANNOT).run() == EX_CONFIG


def test_the_signal_to_read_settings_again_reaches_every_role(tmp_path: Path) -> None:
    program = (
        "import pathlib, signal, sys, time\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "def note(*_): (folder / 'ROLE-told').touch()\n"
        "signal.signal(signal.SIGHUP, note)\n"
        "(folder / 'ROLE-up').touch()\n"
        "while True: time.sleep(0.05)\n"
    )
    one = supervisor(**{role: program.replace("ROLE", role) for role in ("receive", "query")})
    try:
        looked_at(one, lambda: len(list(tmp_path.glob("*-up"))) == 2)
        one._reload(signal.SIGHUP, None)
        looked_at(one, lambda: len(list(tmp_path.glob("*-told"))) == 2)
        assert [child.restarts for child in one._children] == [0, 0]
    finally:
        one._end()


def test_pauses_grow_up_to_a_minute() -> None:
    assert list(PAUSES_S) == sorted(PAUSES_S)
    assert PAUSES_S[-1] == 60.0
