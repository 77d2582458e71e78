"""`orderwire serve`: runs each role in its own process and restarts it when it dies.

A role that keeps dying is restarted for ever with growing pauses and never stops another role. Only
an impossible configuration is final for a role; `serve` ends when that holds for all roles.
"""

import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, TextIO

PAUSES_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
FORGIVEN_S = 60.0
STOP_S = 25.0
"""How long a role may take to finish what it began; then it is killed, which is safe, too."""
SERIOUS_DEATHS = 5
"""In a row: from here on the line is an error."""
LOOK_S = 5.0
"""How long this process sleeps at most; the end of a role wakes it."""
EX_CONFIG = 78
SMALL = {"MALLOC_ARENA_MAX": "2", "OPENBLAS_NUM_THREADS": "1"}
"""For the roles: glibc keeps memory per thread, OpenBLAS starts a thread per core (and is slower
for it on arrays of our size)."""


class Process(Protocol):
    """The part of `subprocess.Popen` that is needed here."""

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


@dataclass(slots=True)
class Child:
    """One role's process."""

    role: str
    member: str = ""
    """What this place among the roles is called; its next process has the same name."""
    process: Process | None = None
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


def arguments_of(child: Child, metrics_folder: Path | None = None) -> list[str]:
    """What a role's process is given."""
    arguments = [child.role, "--restarts", str(child.restarts), "--supervisor", str(os.getpid())]
    arguments += ["--member", child.member]
    return [*arguments, "--metrics-folder", str(metrics_folder)] if metrics_folder else arguments


def keep_small() -> None:
    """Have `SMALL` in this process's libraries, and in all that it starts."""
    for name, value in SMALL.items():
        os.putenv(name, value)


def main(roles: Sequence[str]) -> int:
    """Run `roles`, with a folder for the sockets of their metrics. Its path is short, as those of
    sockets must be; without it each role's metrics stay its own."""
    keep_small()
    start = (_forking(roles) if sys.platform == "linux" else None) or _spawned
    try:
        folder = Path(tempfile.mkdtemp(prefix="orderwire-"))
    except OSError as error:
        log_line("warning", f"roles give no metrics to each other: {error.strerror}")
        return Supervisor(roles, lambda child: start(arguments_of(child))).run()
    try:
        return Supervisor(roles, lambda child: start(arguments_of(child, folder))).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _spawned(arguments: Sequence[str]) -> Process:
    command = [sys.executable, "-m", "orderwire.serve.role", *arguments]
    return subprocess.Popen(command)  # noqa: S603 - our own module


def _forking(roles: Sequence[str]) -> Callable[[Sequence[str]], Process] | None:
    """Starts roles as forks of this process, which share what it has imported; None where that
    fails: then each role says for itself what is missing."""
    try:
        from orderwire.serve.start.forking import Forked, preload, upgrade

        settings = preload(roles)
        if settings is not None and {"process", "query"} & set(roles):
            upgrade(settings)
    except Exception as error:
        log_line("warning", f"roles do not share memory: {type(error).__name__}")
        return None
    return Forked


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
        start: Callable[[Child], Process],
        pauses_s: Sequence[float] = PAUSES_S,
    ) -> None:
        token = secrets.token_hex(8)
        self._children = [
            Child(role, f"{token}-{number}-{role}") for number, role in enumerate(roles)
        ]
        self._start, self._pauses_s = start, pauses_s
        self._stopping, self._on_terminal = False, sys.stdin is not None and sys.stdin.isatty()

    def run(self) -> int:
        """Block until SIGTERM or SIGINT. Returns 78 if the configuration of every role is
        impossible."""
        previous = {
            number: signal.signal(number, handler)
            for number, handler in (
                (signal.SIGTERM, self._stop),
                (signal.SIGINT, self._stop),
                (signal.SIGHUP, self._reload),
                (signal.SIGCHLD, self._ended),
            )
        }
        try:
            with _signals() as news:
                while not self._stopping:
                    for child in self._children:
                        self._look(child)
                    if all(child.given_up for child in self._children):
                        return EX_CONFIG
                    # A signal that came before this call has left its byte in the pipe.
                    if select.select([news], [], [], self._sleep_s())[0]:
                        os.read(news, 512)
            return 0
        finally:
            self._end()
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _sleep_s(self) -> float:
        """Until a role is due."""
        due_s = [child.due_s for child in self._children if not (child.process or child.given_up)]
        return max(0.0, min([LOOK_S, *(each - time.monotonic() for each in due_s)]))

    def _ended(self, number: int, frame: object) -> None:
        """Does nothing: that there is a handler wakes `run`."""

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
                child.process, child.started_s = self._start(child), now
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


@contextmanager
def _signals() -> Iterator[int]:
    """What becomes readable with each signal that this process handles."""
    news, write = os.pipe()
    for each in (news, write):
        os.set_blocking(each, False)
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    try:
        yield news
    finally:
        signal.set_wakeup_fd(before)
        os.close(news)
        os.close(write)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
