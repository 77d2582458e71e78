"""CI fails where a test that it should run was skipped."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import pytest

def test_needs_kafka():
    pytest.skip("no broker")

@pytest.mark.skipif(True, reason="no broker")
def test_needs_kafka_too():
    pass

def test_needs_docker():
    pytest.skip("Docker's compose plugin is not installed")

@pytest.mark.xfail(reason="a gap that is declared")
def test_gap():
    raise AssertionError
"""


def outcomes(folder: Path, ci: str) -> str:
    """The last line that pytest prints about PROGRAM."""
    (folder / "test_program.py").write_text(PROGRAM)
    plugin = ("-p", "tests.support.servers.skips")
    command = [sys.executable, "-m", "pytest", "-q", *plugin, str(folder)]
    root = str(Path(__file__).parents[1])
    environment = {**os.environ, "CI": ci, "PYTHONPATH": root, "PYTEST_ADDOPTS": ""}
    ran = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return ran.stdout.splitlines()[-1]


def test_a_skip_fails_in_ci_unless_it_is_for_want_of_what_ci_never_has(tmp_path: Path) -> None:
    assert outcomes(tmp_path, ci="true").startswith("1 failed, 1 skipped, 1 xfailed, 1 error")


def test_a_skip_is_a_skip_elsewhere(tmp_path: Path) -> None:
    assert outcomes(tmp_path, ci="").startswith("3 skipped, 1 xfailed")
