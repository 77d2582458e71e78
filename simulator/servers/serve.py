"""`orderwire serve` as a process of its own, with the roles that it started: what tests and chaos
kill, stop and start again."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from orderwire.commands.serve import ROLES
from simulator.servers.broker import free_port

PATIENCE_S = 120.0
"""How long a test waits for what must come before it says what is missing. A start takes 2 s on an
idle machine, 20 s on a busy core; no limit here checks how fast anything is."""
LINUX = Path("/proc/self/stat").exists()
"""Whether the roles of a `serve` can be found: they are read from /proc."""


def role_of(entry: Path) -> str:
    """The role that a process of `serve` runs, by its folder in /proc; "" for the supervisor.
    Raises OSError where it is gone."""
    name = entry.joinpath("comm").read_text().strip()
    if name in ROLES:
        return name
    # No fork server: another system than Linux, or an older program.
    command = entry.joinpath("cmdline").read_bytes().split(b"\0")
    if b"orderwire.serve.role" not in command:
        return ""
    return command[command.index(b"orderwire.serve.role") + 1].decode()


class Process(Protocol):
    """The part of `subprocess.Popen` that is needed here."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...


Start = Callable[[Sequence[str], Mapping[str, str], Path, Path], Process]
"""Starts the command with arguments and environment, in a folder and a session of its own, its
output appended to a file."""


def program(
    arguments: Sequence[str], environment: Mapping[str, str], folder: Path, output: Path
) -> Process:
    """The command as a shell would start it."""
    with output.open("ab") as file:
        return subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "orderwire", *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )


class Serve:
    """`orderwire serve` with the roles that it started."""

    def __init__(
        self,
        roles: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        output: Path,
        start: Start = program,
    ) -> None:
        self.roles, self.metrics_port = tuple(roles), free_port()
        variables = {**environment, "ORDERWIRE_METRICS": f"127.0.0.1:{self.metrics_port}"}
        self._process = start(["serve", "--roles", ",".join(roles)], variables, folder, output)

    @property
    def code(self) -> int | None:
        """The supervisor's exit code; None while it runs."""
        return self._process.poll()

    def members(self) -> dict[int, str]:
        """Processes of this serve that live: pid -> role, "" for the supervisor."""
        found = {}
        for name in os.listdir("/proc"):
            try:
                # Asked all the time while something is waited for: only its own files are read.
                if not name.isdigit() or os.getsid(int(name)) != self._process.pid:
                    continue
                entry = Path("/proc", name)
                if entry.joinpath("stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                    found[int(name)] = role_of(entry)
            except OSError:
                continue
        return found

    def pid_of(self, role: str) -> int | None:
        """The process that runs `role` now."""
        return next((pid for pid, its_role in self.members().items() if its_role == role), None)

    async def pid_when_running(self, role: str, *, other_than: int | None = None) -> int:
        """The process that runs `role`, as soon as there is one (another than `other_than`)."""
        deadline = time.monotonic() + PATIENCE_S
        while (pid := self.pid_of(role)) is None or pid == other_than:
            assert time.monotonic() < deadline, f"role {role} is not running after {PATIENCE_S} s"
            await asyncio.sleep(0.02)
        return pid

    def signal(self, number: int, role: str = "") -> None:
        """Send a signal to the supervisor, or to a role. Nothing where it is not running."""
        pid = self._process.pid if not role else self.pid_of(role)
        if pid is not None and (role or self._process.poll() is None):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    async def kill(self) -> None:
        """SIGKILL for all: the supervisor is stopped first, so that it starts nobody again
        meanwhile."""
        self.signal(signal.SIGSTOP)
        deadline = time.monotonic() + PATIENCE_S
        while members := self.members():
            for pid in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.poll()
            assert time.monotonic() < deadline, f"still there after SIGKILL: {members}"
            await asyncio.sleep(0.005)
        await self.ended()

    async def ended(self) -> int:
        """Wait for the supervisor's end; its exit code."""
        deadline = time.monotonic() + PATIENCE_S
        while (code := self._process.poll()) is None:
            assert time.monotonic() < deadline, f"serve has not ended after {PATIENCE_S} s"
            await asyncio.sleep(0.01)
        return code
