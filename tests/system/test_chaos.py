"""Short runs of `make chaos` (docs/operation.md, "Chaos")."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.serve_process import needs_proc

pytestmark = needs_proc
SECONDS = 1_500
"""Bounds a run that hangs; an idle machine takes 2 minutes."""


def run(*arguments: str) -> str:
    """What the program prints; fails where something was not proved."""
    command = [sys.executable, "-m", "simulator.chaos", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    return ran.stdout


@pytest.mark.timeout(SECONDS + 60)
@pytest.mark.parametrize(("pair", "seed"), [("sqlite", "18"), ("kafka", "13")])
def test_a_minute_of_faults_loses_nothing_and_doubles_nothing(pair: str, seed: str) -> None:
    printed = run("--minutes", "1", "--seed", seed, "--pair", pair)
    assert "all proved" in printed
    folder = re.search(r"/\S*orderwire-chaos-\S+", printed)
    assert folder is not None
    assert not Path(folder[0]).exists()


@pytest.mark.timeout(SECONDS + 60)
def test_hostile_clients_cost_a_shop_none_of_its_answers() -> None:
    # Answered within Shopify's 5 s: how much sooner is the machine's business here.
    printed = run("--hostile", "--minutes", "0.35", "--p99-ms", "5000")
    assert "all right" in printed
    attacks = dict(re.findall(r"^  (\w+): (.+)$", printed, re.MULTILINE))
    assert set(attacks) >= {"bomb", "large", "garbage", "half", "slow", "idle"}
    assert "415" in attacks["bomb"], "compressed bodies are refused, never unpacked"
