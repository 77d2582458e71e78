"""Starts, watches and ends the demo's own processes."""

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

STOP_S = 28.0
"""A little more than `serve` gives its roles."""
LAST_LINES = 15


class Died(Exception):
    """A process of the demo has ended by itself, or never came up; `output` is its log file."""

    def __init__(self, name: str, how: str, output: Path) -> None:
        super().__init__(f"{name} {how}")
        self.output = output

    def tail(self) -> str:
        """The last lines that it wrote."""
        with self.output.open(errors="replace") as lines:
            return "".join(deque(lines, LAST_LINES))


@dataclass(frozen=True, slots=True)
class ChildProcess:
    """One process; its output goes to a file."""

    name: str
    process: subprocess.Popen[bytes]
    output: Path


class Children:
    """`with Children(folder) as children:`; at the end of the block none of them is left, nor any
    process that they started.

    Each child leads a session of its own: Ctrl-C in a terminal reaches only the demo, which ends
    its children in order, and the processes of a child (the roles of `serve`) end with it even if
    it was killed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: list[ChildProcess] = []

    def start(
        self, name: str, command: Sequence[str], environment: Mapping[str, str]
    ) -> ChildProcess:
        """Start `command` in the folder, its output appended to `<name>.log` there."""
        output = self._folder / f"{name}.log"
        with output.open("ab") as file:
            process = subprocess.Popen(  # noqa: S603 - our own modules
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=self._folder,
                env=dict(environment),
                start_new_session=True,
            )
        child = ChildProcess(name, process, output)
        self._children.append(child)
        return child

    def check(self) -> None:
        """Raises Died for the first child that is no longer there."""
        for child in self._children:
            code = child.process.poll()
            if code is not None:
                how = (
                    f"was ended by {signal.Signals(-code).name}"
                    if code < 0
                    else f"ended with exit code {code}"
                )
                raise Died(child.name, how, child.output)

    def end(self) -> None:
        """End all of them, the one started last first."""
        while self._children:
            child = self._children.pop()
            _signal(child, signal.SIGTERM)
            try:
                child.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                _signal_group(child, signal.SIGKILL)
                child.process.wait()
            _end_group(child)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()


def _signal(child: ChildProcess, number: signal.Signals) -> None:
    if child.process.poll() is None:
        child.process.send_signal(number)


def _signal_group(child: ChildProcess, number: int) -> bool:
    """Signal what is left of the child's session (0 only asks); returns whether anything was."""
    try:
        os.killpg(child.process.pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _end_group(child: ChildProcess) -> None:
    """End the processes that a killed child has left: SIGTERM, then SIGKILL."""
    if not _signal_group(child, signal.SIGTERM):
        return
    deadline = time.monotonic() + 5.0
    while _signal_group(child, 0):
        if time.monotonic() > deadline:
            _signal_group(child, signal.SIGKILL)
            return
        time.sleep(0.05)
