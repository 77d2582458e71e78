"""`orderwire demo` in a real terminal, whose window somebody drags; each of its processes has an
interpreter of its own, as a shell starts it."""

import os
import sys
import time
from pathlib import Path

import pytest

from tests.support.pictures.terminal import Terminal, terminal

DEMO = (sys.executable, "-m", "orderwire", "demo", "--customers", "40", "--rate", "50")
PATIENCE_S = 120.0


def until(shown: Terminal, text: str) -> str:
    """The screen, as soon as `text` is on it."""
    deadline = time.monotonic() + PATIENCE_S
    while text not in (screen := "\n".join(shown.text)):
        assert shown.process.poll() is None, screen
        assert time.monotonic() < deadline, screen
        shown.read(0.2)
    return screen


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the terminal is Linux's")
def test_a_narrow_terminal_stacks_the_panels_and_a_wide_one_has_the_commands_above_them(
    tmp_path: Path,
) -> None:
    sized = {"COLUMNS", "LINES"}  # where set, they would hold against any resize
    environment = {name: value for name, value in os.environ.items() if name not in sized}
    with terminal(DEMO, 80, 24, {**environment, "TMPDIR": str(tmp_path)}) as shown:
        until(shown, "live, 50 webhooks/s")
        narrow = until(shown, "predicted LTV")
        assert "dashboard http://127.0.0.1:" in narrow
        assert "commands: cat" in narrow
        assert "commands.txt" in narrow
        assert "in a taller terminal: carts, ad budgets" in narrow
        assert {line.count("│") for line in narrow.splitlines()} <= {0, 2, 4}, narrow
        shown.resize(120, 40)
        wide = until(shown, "curl -s http://")
        wide = until(shown, "ad budgets, 30 days")
        assert wide.index("Dashboard: http://") < wide.index("curl -i") < wide.index("webhooks ─")
        assert wide.count("live, 50 webhooks/s") == 1, "nothing of the old screenful stays"
    assert shown.process.returncode == 0
