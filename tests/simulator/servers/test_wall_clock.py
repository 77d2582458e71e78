"""A process with a stepping clock sees the step in its wall clock only."""

import subprocess
import sys
from pathlib import Path

from simulator.servers.wall_clock import WallClock

PROGRAM = """
import sys, time
def look():
    wall, wall_ns, monotonic = time.time(), time.time_ns(), time.monotonic()
    print(wall, wall_ns, monotonic, flush=True)
look()
sys.stdin.readline()
time.sleep(0.1)
look()
"""


def test_only_the_wall_clock_of_its_processes_steps(tmp_path: Path) -> None:
    clock = WallClock(tmp_path / "clock")
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=dict(clock.environment()),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    wall, wall_ns, monotonic = map(float, process.stdout.readline().split())
    clock.step(-7_200)
    rest, _ = process.communicate("\n", timeout=60)
    then, then_ns, later = map(float, rest.split())
    passed_s = later - monotonic
    assert 0 < passed_s < 60
    assert abs(then - wall - passed_s + 7_200) < 1
    assert abs((then_ns - wall_ns) / 1e9 - passed_s + 7_200) < 1
