"""`orderwire serve`: each role in a process of its own, started again when it dies.

A role that dies is started again after a pause that grows; one that keeps dying takes all down, with its reason, so that whoever runs
`serve` (systemd, Docker, Kubernetes) sees it. This process imports nothing heavy: it waits.

| start again after death no. | 1 | 2 | 3 | 4 | 5 | 6 |
|---|---|---|---|---|---|---|
| pause | 0.2 s | 0.5 s | 1 s | 2 s | 5 s | given up |

Deaths more than `FORGIVEN_S` after a start are not counted.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TextIO

PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0)
FORGIVEN_S = 60.0
STOP_S = 25.0
"""How long a role may take to finish what it began; then it is killed, which is safe, too."""
EX_CONFIG = 78
SMALL = {"MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1"}
"""For the roles: glibc keeps memory per thread, OpenBLAS starts a thread per core (and is slower for it on arrays of our size)."""


@dataclass(slots=True)
class Child:
    """One role's process."""

    role: str
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    restarts: int = 0
    deaths: int = 0
    due_s: float = field(default=0.0)


def tell(level: str, event: str, stream: TextIO | None = None) -> None:
    """A line on standard error, as `orderwire/logs.py` writes the roles': readable on a terminal, JSON elsewhere."""
    stream = sys.stderr if stream is None else stream
    if stream.isatty():
        line = f"orderwire serve: {event}"
    else:
        at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        line = json.dumps({"event": event, "role": "supervisor", "level": level, "timestamp": at})
    print(line, file=stream, flush=True)


class GaveUp(Exception):
    """A role keeps dying; the message says which and how."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Supervisor:
    """Runs roles until told to stop."""

    def __init__(self, roles: Sequence[str]) -> None:
        self._children = [Child(role) for role in roles]
        self._stopping = False

    def run(self) -> int:
        """Block until SIGTERM or SIGINT, or until a role is given up (then 1, or 78 where the configuration is to blame)."""
        for name, value in SMALL.items():
            os.putenv(name, value)
        previous = {
            number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            while not self._stopping:
                for child in self._children:
                    self._look(child)
                time.sleep(0.05)
            return 0
        except GaveUp as error:
            tell("error", str(error))
            return error.code
        finally:
            self._end()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: object) -> None:
        self._stopping = True

    def _look(self, child: Child) -> None:
        now = time.monotonic()
        if child.process is None:
            if now >= child.due_s:
                command = [sys.executable, "-m", "orderwire.serve.role", child.role]
                command += ["--restarts", str(child.restarts), "--supervisor", str(os.getpid())]
                child.process, child.started_s = subprocess.Popen(command), now  # noqa: S603 - our own module
            return
        code = child.process.poll()
        if code is None:
            return
        child.process = None
        child.deaths = 1 if now - child.started_s > FORGIVEN_S else child.deaths + 1
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        if code == EX_CONFIG:
            raise GaveUp(
                f"role {child.role} cannot start with this configuration (its reason is in the log above)",
                EX_CONFIG,
            )
        if child.deaths > len(PAUSES_S):
            raise GaveUp(
                f"role {child.role} died {child.deaths} times, last by {how}; its reason is in the log above",
                1,
            )
        pause_s = PAUSES_S[child.deaths - 1]
        child.due_s, child.restarts = now + pause_s, child.restarts + 1
        tell("warning", f"role {child.role} ended by {how}; starting it again in {pause_s} s")

    def _end(self) -> None:
        """All at once: none needs another to finish what it began, and what comes in meanwhile waits in the log."""
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
    sys.exit(Supervisor(sys.argv[1:]).run())
