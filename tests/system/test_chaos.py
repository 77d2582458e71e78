"""Runs of `make chaos` (docs/operation.md, "Chaos"): a short one, and those of minutes, marked
`chaos`, which `make chaos-test` runs."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from simulator.chaos.plan import Kind, Pair, plan
from tests.support.servers.forks import ROOT, Forked
from tests.system.serve_process import needs_proc

pytestmark = needs_proc
SECONDS = 1_500
"""Bounds a run that hangs; an idle machine takes 3 minutes."""
CHAOS = "import runpy\nrunpy.run_module('simulator.chaos', run_name='__main__')"


def run(folder: Path, *arguments: str) -> str:
    """What the program prints; fails where something was not proved."""
    output, errors = folder / "printed", folder / "errors"
    chaos = Forked(arguments, os.environ, ROOT, output, script=CHAOS, errors=errors)
    try:
        code = chaos.wait()
    finally:
        if chaos.poll() is None:
            chaos.kill()
    assert code == 0, f"{chaos.said()}\n{errors.read_text()}"
    return chaos.said()


def assert_faults_cost_nothing(
    folder: Path, pair: Pair, seeds: Sequence[int], minutes: float
) -> None:
    """Nothing was lost, nothing doubled, and no folder is left."""
    drawn = [part for seed in seeds for part in ("--seed", str(seed))]
    # A third of the usual rate: other tests run beside it.
    printed = run(folder, "--minutes", str(minutes), "--rate", "10", "--pair", pair, *drawn)
    assert "all proved" in printed
    data = re.search(r"/\S*orderwire-chaos-\S+", printed)
    assert data is not None
    assert not Path(data[0]).exists()


def assert_strangers_cost_nothing(folder: Path, minutes: float, connections: int) -> None:
    """Every legitimate delivery was answered beside every kind of attack."""
    # Answered within Shopify's 5 s: how much sooner is the machine's business here.
    bounds = ("--p99-ms", "5000", "--connections", str(connections))
    printed = run(folder, "--hostile", "--minutes", str(minutes), *bounds)
    assert "all right" in printed
    attacks = dict(re.findall(r"^  (\w+): (.+)$", printed, re.MULTILINE))
    assert set(attacks) >= {"bomb", "large", "garbage", "half", "slow", "idle"}
    assert "415" in attacks["bomb"], "compressed bodies are refused, never unpacked"


@pytest.mark.timeout(SECONDS + 60)
def test_a_quarter_of_a_minute_of_faults_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    seed, minutes = 51, 0.25
    kinds = {fault.kind for fault in plan(seed, minutes * 60, Pair.SQLITE)}
    assert kinds >= {Kind.KILL, Kind.STOP, Kind.CUT, Kind.STEP, Kind.SWAP}
    assert_faults_cost_nothing(tmp_path, Pair.SQLITE, [seed], minutes)


@pytest.mark.chaos
@pytest.mark.timeout(SECONDS + 60)
@pytest.mark.parametrize(("pair", "seeds"), [(Pair.SQLITE, (16, 101)), (Pair.KAFKA, (18, 13))])
def test_two_minutes_of_faults_lose_nothing_and_double_nothing(
    tmp_path: Path, pair: Pair, seeds: tuple[int, ...]
) -> None:
    # Seeds that have failed.
    assert_faults_cost_nothing(tmp_path, pair, seeds, 2)


@pytest.mark.chaos
@pytest.mark.timeout(SECONDS + 60)
def test_three_thousand_hostile_connections_cost_a_shop_none_of_its_answers(tmp_path: Path) -> None:
    assert_strangers_cost_nothing(tmp_path, 0.2, 3_000)
