"""A command in a terminal of a given size, and what stands on its screen."""

import contextlib
import fcntl
import html
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pyte

PAGE = """<!doctype html><meta charset="utf-8"><style>
html, body { margin: 0; background: #16181d; }
pre { margin: 0; padding: 14px; display: inline-block; color: #d8dade; background: #16181d;
      font: 14px/18px "DejaVu Sans Mono", "Liberation Mono", monospace; }
b { font-weight: 600; } .dim { color: #8b919c; } .cyan { color: #4fc1e9; }
.green { color: #7ac74f; } .red { color: #ff6b6b; } .brown { color: #e5c07b; }
</style><pre>"""


class Terminal:
    """The screen of a command that runs in it."""

    def __init__(self, columns: int, lines: int, process: subprocess.Popen[bytes], end: int):
        self.screen = pyte.Screen(columns, lines)
        self.process = process
        self._stream, self._end = pyte.ByteStream(self.screen), end

    def read(self, seconds: float) -> None:
        """Take what the command writes for so long."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            ready, _, _ = select.select([self._end], [], [], left)
            if ready:
                try:
                    self._stream.feed(os.read(self._end, 65_536))
                except OSError:  # the command has ended
                    return

    def resize(self, columns: int, lines: int) -> None:
        """As when somebody drags the window."""
        fcntl.ioctl(self._end, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.screen.resize(lines, columns)

    @property
    def text(self) -> list[str]:
        """Its lines."""
        return [line.rstrip() for line in self.screen.display]

    def page(self) -> str:
        """The screen as an HTML document."""
        rows = []
        for number in range(self.screen.lines):
            cells = (self.screen.buffer[number][column] for column in range(self.screen.columns))
            rows.append("".join(_cell(cell) for cell in cells).rstrip())
        return PAGE + "\n".join(rows).rstrip() + "</pre>"


def _cell(cell: pyte.screens.Char) -> str:
    text = html.escape(cell.data or " ")
    if cell.bold:
        text = f"<b>{text}</b>"
    # The frames of panels are dim, which the emulator does not keep.
    colour = "dim" if cell.data in "─│╭╮╰╯" else "" if cell.fg == "default" else cell.fg
    return f'<span class="{colour}">{text}</span>' if colour and cell.data != " " else text


@contextmanager
def terminal(
    command: Sequence[str], columns: int, lines: int, environment: Mapping[str, str] | None = None
) -> Iterator[Terminal]:
    """Run `command` in a terminal of its own; Ctrl-C ends it."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**(os.environ if environment is None else environment), "TERM": "xterm-256color"},
    )
    os.close(theirs)
    made = Terminal(columns, lines, process, ours)
    try:
        yield made
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        until = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < until:
            made.read(0.2)  # who writes to a full terminal waits
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(ours)
