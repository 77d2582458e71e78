"""`orderwire serve`: runs each role in its own process and restarts it when it dies.

A role that keeps dying is restarted for ever with growing pauses and never stops another role. Only
an impossible configuration is final for a role; `serve` ends when that holds for all roles. This
process imports nothing heavy.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TextIO

PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
FORGIVEN_S = 60.0
STOP_S = 25.0
"""How long a role may take to finish what it began; then it is killed, which is safe, too."""
SERIOUS_DEATHS = 5
"""In a row: from here on the line is an error."""
EX_CONFIG = 78
SMALL = {"MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1"}
"""For the roles: glibc keeps memory per thread, OpenBLAS starts a thread per core (and is slower
for it on arrays of our size)."""


@dataclass(slots=True)
class Child:
    """One role's process."""

    role: str
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    restarts: int = 0
    deaths: int = 0
    due_s: float = 0.0
    given_up: bool = False
    """Its configuration cannot work."""


def log_line(level: str, event: str, stream: TextIO | None = None) -> None:
    """Write a line on standard error in the format of `orderwire/logs.py`: readable on a terminal,
    JSON elsewhere."""
    stream = sys.stderr if stream is None else stream
    if stream.isatty():
        line = f"orderwire serve: {event}"
    else:
        at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        line = json.dumps({"event": event, "role": "supervisor", "level": level, "timestamp": at})
    print(line, file=stream, flush=True)


def command_of(role: str, restarts: int, metrics_folder: str = "") -> list[str]:
    """What runs a role."""
    command = [sys.executable, "-m", "orderwire.serve.role", role]
    command += ["--restarts", str(restarts), "--supervisor", str(os.getpid())]
    return [*command, "--metrics-folder", metrics_folder] if metrics_folder else command


def main(roles: Sequence[str]) -> int:
    """Run `roles`, with a folder for the sockets of their metrics. Its path is short, as those of
    sockets must be; without it each role's metrics stay its own."""
    try:
        folder = tempfile.mkdtemp(prefix="orderwire-")
    except OSError as error:
        log_line("warning", f"roles give no metrics to each other: {error.strerror}")
        return Supervisor(roles).run()
    try:
        return Supervisor(roles, partial(command_of, metrics_folder=folder)).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Supervisor:
    """Runs roles until a signal stops it.

    | restart after death no. | 1 | 2 | 3 | 4 | 5 | 6 | 7 | further |
    |---|---|---|---|---|---|---|---|---|
    | pause | 0.2 s | 0.5 s | 1 s | 2 s | 5 s | 10 s | 30 s | 60 s |

    A death more than `FORGIVEN_S` after its start counts as the first.
    """

    def __init__(
        self,
        roles: Sequence[str],
        command: Callable[[str, int], list[str]] = command_of,
        pauses_s: Sequence[float] = PAUSES_S,
    ) -> None:
        self._children = [Child(role) for role in roles]
        self._command, self._pauses_s = command, pauses_s
        self._stopping, self._on_terminal = False, sys.stdin is not None and sys.stdin.isatty()

    def run(self) -> int:
        """Block until SIGTERM or SIGINT. Returns 78 if the configuration of every role is
        impossible."""
        for name, value in SMALL.items():
            os.putenv(name, value)
        previous = {
            number: signal.signal(number, handler)
            for number, handler in (
                (signal.SIGTERM, self._stop),
                (signal.SIGINT, self._stop),
                (signal.SIGHUP, self._reload),
            )
        }
        try:
            while not self._stopping:
                for child in self._children:
                    self._look(child)
                if all(child.given_up for child in self._children):
                    return EX_CONFIG
                time.sleep(0.05)
            return 0
        finally:
            self._end()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: object) -> None:
        self._stopping = True

    def _reload(self, number: int, frame: object) -> None:
        """Roles read their shops again. A terminal that was closed sends the same signal."""
        if self._on_terminal and not sys.stdin.isatty():
            self._stopping = True
            return
        for child in self._children:
            if child.process is not None:
                child.process.send_signal(signal.SIGHUP)

    def _look(self, child: Child) -> None:
        now = time.monotonic()
        if child.given_up:
            return
        if child.process is None:
            if now >= child.due_s:
                command = self._command(child.role, child.restarts)
                child.process, child.started_s = subprocess.Popen(command), now  # noqa: S603 - our own module
            return
        code = child.process.poll()
        if code is None:
            return
        child.process = None
        if code == EX_CONFIG:
            child.given_up = True
            log_line(
                "error",
                f"role {child.role} cannot start with this configuration (its reason is in the log"
                " above); the other roles go on, and this one is not started again",
            )
            return
        child.deaths = 1 if now - child.started_s > FORGIVEN_S else child.deaths + 1
        pause_s = self._pauses_s[min(child.deaths, len(self._pauses_s)) - 1]
        child.due_s, child.restarts = now + pause_s, child.restarts + 1
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        again = f", death {child.deaths} in a row" if child.deaths > 1 else ""
        log_line(
            "warning" if child.deaths < SERIOUS_DEATHS else "error",
            f"role {child.role} ended by {how}{again}; starting it again in {pause_s:g} s",
        )

    def _end(self) -> None:
        """Stop all roles together: none needs another to finish, and deliveries meanwhile wait in
        the log."""
        running = [child.process for child in self._children if child.process is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + STOP_S
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
