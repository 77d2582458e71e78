"""A role raises its limit of open files, and the receiver takes no more connections than fit."""

import subprocess
import sys

from orderwire.serve.start.open_files import KEPT_FREE, connections

ASK = """
import resource, sys
hard = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
from orderwire.serve.start.open_files import raise_limit
print(raise_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_the_soft_limit_rises_to_the_hard_one() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", ASK, "2048"], capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == ["2048", "2048", "2048"]


def test_connections_leave_files_for_the_rest() -> None:
    assert connections(1024, 4096) == 1024 - KEPT_FREE
    assert connections(65_536, 4096) == 4096
    assert connections(16, 4096) == 1
