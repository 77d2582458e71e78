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
@pytest.mark.parametrize(("pair", "seeds"), [("sqlite", "16 101"), ("kafka", "18 13")])
def test_two_minutes_of_faults_lose_nothing_and_double_nothing(pair: str, seeds: str) -> None:
    # Seeds that have failed. A third of the usual rate: other tests run beside it.
    drawn = [part for seed in seeds.split() for part in ("--seed", seed)]
    printed = run("--minutes", "2", "--rate", "10", "--pair", pair, *drawn)
    assert "all proved" in printed
    folder = re.search(r"/\S*orderwire-chaos-\S+", printed)
    assert folder is not None
    assert not Path(folder[0]).exists()


@pytest.mark.timeout(SECONDS + 60)
def test_hostile_clients_cost_a_shop_none_of_its_answers() -> None:
    # Answered within Shopify's 5 s: how much sooner is the machine's business here.
    printed = run("--hostile", "--minutes", "0.2", "--p99-ms", "5000")
    assert "all right" in printed
    attacks = dict(re.findall(r"^  (\w+): (.+)$", printed, re.MULTILINE))
    assert set(attacks) >= {"bomb", "large", "garbage", "half", "slow", "idle"}
    assert "415" in attacks["bomb"], "compressed bodies are refused, never unpacked"
