"""Runs third-party programs; the error of one that fails has its output."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence

START_S, FETCH_S = 60.0, 300.0
"""How long a program may take to start, and one that fetches something."""


def answers(program: str, probe: str) -> bool:
    """Whether there is such a program, and it ends well when it is called with `probe`."""
    if shutil.which(program) is None:
        return False
    try:
        command = [program, probe]
        asked = subprocess.run(command, capture_output=True, timeout=15, check=False)  # noqa: S603
        return asked.returncode == 0
    except subprocess.TimeoutExpired:
        return False


def run(
    command: Sequence[str], timeout_s: float, environment: Mapping[str, str] | None = None
) -> None:
    """Run it to its end, by default with our environment. Raises RuntimeError with what it
    complained of."""
    done = subprocess.run(  # noqa: S603
        command, capture_output=True, timeout=timeout_s, check=False, text=True, env=environment
    )
    if done.returncode != 0:
        raise RuntimeError(
            f"`{' '.join(command[:4])} ...` failed with code {done.returncode}: "
            f"{(done.stderr or done.stdout)[-500:]}"
        )
