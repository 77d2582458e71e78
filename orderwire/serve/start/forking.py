"""Starts roles as forks of the supervisor, which has imported what they need: the memory of modules
is then there once, and a role that died is back without importing anything.

Only where fork is safe: on Linux, in a process that has started no thread and opened nothing.
"""

import gc
import multiprocessing
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from multiprocessing.context import ForkProcess as Process
from pathlib import Path

from orderwire.private_files import tighten
from orderwire.serve import role
from orderwire.serve.start.connections import open_store
from orderwire.settings.program import ConfigurationError, Settings

HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
"""The supervisor's."""
_context = multiprocessing.get_context("fork")


def preload(roles: Sequence[str]) -> Settings | None:
    """Import what these roles will use. Returns the settings where they can be read, and raises
    RuntimeError where a module started a thread."""
    settings = None
    modules = [f"orderwire.serve.roles.{each}" for each in roles]
    reads_store = bool({"process", "query"} & set(roles))
    if reads_store:
        modules.append("stream.store.sql.store")
    with suppress(ConfigurationError):  # Each role says so.
        settings = Settings.load()
        modules += ["stream.log.kafka.log"] if settings.on_kafka else []
        modules += ["psycopg"] if settings.store_file is None else []
        if reads_store:  # SQLAlchemy imports it as it opens a store: 60 ms for PostgreSQL.
            dialect = "postgresql" if settings.store_file is None else "sqlite"
            modules.append(f"sqlalchemy.dialects.{dialect}")
    for module in modules:
        import_module(module)
    with suppress(ImportError):  # Not every system has it (`role.py`).
        import_module("uvloop")
    if len(os.listdir("/proc/self/task")) > 1:  # Also those of libraries, as OpenBLAS's are.
        raise RuntimeError("a module starts a thread when it is imported")
    # Otherwise the first collection of each role would write to all pages of what was imported.
    gc.collect()
    gc.freeze()
    return settings


def upgrade(settings: Settings) -> None:
    """Begin to bring the store's schema up to date, in a process that ends with that.

    A role that finds it out of date upgrades it itself, and keeps Alembic: 13 MB. This process has
    read the settings already, so it has the database's lock before any role asks for it.
    """
    _fork(_context.Process(target=_upgrade, args=(settings,), name="schema", daemon=True))


def _upgrade(settings: Settings) -> None:
    """In the child."""
    _begin("schema")
    os.umask(0o077)  # As of a role: the store's file is its owner's only.
    tighten(settings)
    with suppress(Exception):  # Each role says so.
        open_store(settings).close()


class Forked:
    """`subprocess.Popen`, as far as the supervisor needs it, for a role that was forked."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._process = _context.Process(target=_run, args=(arguments,), name=arguments[0])
        _fork(self._process)

    def poll(self) -> int | None:
        multiprocessing.active_children()  # Reaps the one that has upgraded the schema.
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0.0)
        return code

    def send_signal(self, sig: int) -> None:
        if self._process.pid is not None and self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, sig)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _fork(process: Process) -> None:
    # A signal between the fork and the child's own handlers would meet the supervisor's.
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _run(arguments: Sequence[str]) -> None:
    """In the child."""
    _begin(arguments[0])
    raise SystemExit(role.main(arguments))


def _begin(name: str) -> None:
    """Close what belongs to the supervisor."""
    signal.set_wakeup_fd(-1)
    for number in HANDLED:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HANDLED)
    with suppress(OSError):
        Path("/proc/self/comm").write_text(name)  # What `ps` calls it.
