"""Starts commands and scripts as forks of a process that has imported the program: importing it
takes 2 seconds of CPU, a fork next to nothing. Once forked, a command does what it does when a
shell starts it; `demo` forks its own children in turn.
"""

import functools
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import IO, NoReturn

import pytest

from orderwire.serve import supervisor

ROOT = Path(__file__).parents[3]
IMPORTED = (
    "orderwire.serve.start.without_rich",  # Before anything loads structlog.
    "orderwire.serve.role",
    *(f"orderwire.serve.roles.{role}" for role in ("receive", "process", "query")),
    "orderwire.serve.start.opening",
    "orderwire.serve.start.forking",
    "stream.store.sql.store",
    "stream.log.kafka.log",
    "psycopg",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.dialects.sqlite",
    "alembic.command",  # What makes the schema of a new store.
    "orderwire.cli",
    "orderwire.commands.backfill",  # What scripts of tests use.
    "orderwire.operation.backup.restoring",
    "orderwire.serve.audits.job",
    "aggregates.rfm.fold.projection",
    "destinations.meta.event.events",  # Imported by a role once a shop has an account.
    "destinations.meta.browser",
    "destinations.meta.dataset.quality",
    "destinations.meta.dataset.comparison",
    "tests.support.servers.forks",
    "tests.support.servers.demo_imports",  # After all of orderwire: it brings rich back.
    "tests.support.servers.frozen",  # Last.
)


class ForkedProcess:
    """A process, as `subprocess.Popen` shows it; `_process` has been started."""

    _process: BaseProcess

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """As `kill` of a shell."""
        os.kill(self.pid, number)


class Forked(ForkedProcess):
    """A command's process. It leads a session of its own."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        output: Path,
        script: str = "",
        errors: Path | None = None,
    ) -> None:
        """`orderwire` with these arguments, or a Python script that finds them in `sys.argv`; with
        `serve` it is run first. `errors` is for what it writes to stderr, by default `output`."""
        self._output = output
        given = (list(arguments), dict(environment), folder, output, errors or output, script)
        self._process = _context().Process(target=_command, args=given)
        self._process.start()
        while self.poll() is None and not _leads_a_session(self.pid):
            time.sleep(0.001)  # Until then whoever looks for its session finds nobody.

    def wait(self) -> int:
        """Its exit code, once it has ended."""
        self._process.join()
        code = self._process.exitcode
        assert code is not None
        return code

    def kill(self) -> None:
        """SIGKILL; returns when it has ended."""
        self._process.kill()
        self._process.join()

    def until_printed(self, text: str) -> None:
        """Return once it has printed `text`. Raises AssertionError where it ends before."""
        while text not in (said := self.said()):
            assert self.poll() is None, said
            time.sleep(0.002)

    def said(self) -> str:
        """What it wrote so far, over all starts with this output."""
        return self._output.read_text() if self._output.exists() else ""


def _leads_a_session(pid: int) -> bool:
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return False


@functools.cache
def _context() -> ForkServerContext:
    """The process that is forked, started once. Its libraries start no threads."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(IMPORTED))
    with _variables({**os.environ, **supervisor.SMALL, "PYTHONPATH": str(ROOT)}):
        forkserver.ensure_running()
    return context


@contextmanager
def _variables(wanted: Mapping[str, str]) -> Iterator[None]:
    """This process's environment, until the end of the block."""
    before = dict(os.environ)
    _become(wanted)
    try:
        yield
    finally:
        _become(before)


def _become(wanted: Mapping[str, str]) -> None:
    for name in os.environ.keys() - wanted.keys():
        del os.environ[name]
    os.environ.update(wanted)


def _command(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    output: Path,
    errors: Path,
    script: str,
) -> None:
    """In the fork."""
    os.setsid()
    for standard, path in ((1, output), (2, errors)):
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(file, standard)
        os.close(file)
    os.chdir(folder)
    _become(environment)
    sys.argv = ["orderwire", *arguments]
    if script:
        exec(compile(script, "<script>", "exec"), {"__name__": "__main__"})
        if arguments[:1] != ["serve"]:
            return
    replaced = pytest.MonkeyPatch()
    if arguments[0] == "serve":
        for name in [name for name in sys.modules if name.partition(".")[0] == "rich"]:
            del sys.modules[name]
        sys.modules["rich"] = None  # type: ignore[assignment]  # as `without_rich` has it
        # `serve` would replace itself by the supervisor, in an interpreter that imports all anew.
        replaced.setattr(os, "execv", _supervise)
    if arguments[0] == "demo":
        replaced.setattr(subprocess, "Popen", ForkedChild)
    from orderwire.cli import main

    main()


def _supervise(_: str, command: Sequence[str]) -> NoReturn:
    sys.exit(supervisor.main(command[3:]))


class ForkedChild(ForkedProcess):
    """`subprocess.Popen` as far as the demo's children need it: a module as a program, in a fork of
    the demo, which has no threads when it starts them."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        stdin: int,
        stdout: IO[bytes],
        stderr: IO[bytes],
        cwd: Path,
        env: Mapping[str, str],
        start_new_session: bool,
    ) -> None:
        assert stdin == subprocess.DEVNULL
        assert start_new_session
        assert len(os.listdir("/proc/self/task")) == 1
        _, option, module, *arguments = command
        assert option == "-m"
        script = ""
        if module != "orderwire":
            script = f"import runpy\nrunpy.run_module({module!r}, run_name='__main__')"
        output, errors = Path(stdout.name), Path(stderr.name)
        given = (arguments, env, cwd, output, errors, script)
        context = multiprocessing.get_context("fork")
        self._process = context.Process(target=_forked_again, args=given)
        self._process.start()

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0.0)
        return code


def _forked_again(*given: object) -> None:
    """In the fork of a fork: what is the demo's event loop's ends here."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _command(*given)  # type: ignore[arg-type]
