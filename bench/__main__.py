"""`make bench`: runs every benchmark in a process of its own; `make bench ARGS=fold` runs one, and
`ARGS=bars` the five that say whether the numbers of the whole hold, shortened to 15 minutes.
Ratios within one run count, since other work on the machine disturbs the absolute figures."""

import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

from orderwire.serve.supervisor import SMALL
from orderwire.settings.sources import child_environment

BARS: dict[str, tuple[str, ...]] = {
    "receiver": (),
    "pipeline": ("--seconds", "8"),
    "peers": ("--events", "4000", "--few", "1500", "--signals", "300", "--rounds", "1"),
    "memory": ("1000000", "40"),
    "shops": ("sqlite",),
}
"""With their shorter rounds."""
LIMIT_S, BAR_LIMIT_S = 3_600, 600
"""For one benchmark; then it is asked to end its servers and itself."""
END_S = 60


def modules() -> dict[str, str]:
    """The benchmarks there are, by the names that are asked for."""
    folder = Path(__file__).parent
    found = {"peers": "bench.peers"}
    for path in sorted(folder.glob("*/*.py")):
        if path.parent.name not in found and not path.stem.startswith("_"):
            found[path.stem] = f"bench.{path.parent.name}.{path.stem}"
    return found


def main(wanted: list[str]) -> int:
    """Run those named, or all. The number of those that could not run."""
    runs: dict[str, tuple[str, ...]] = {}
    known = modules()
    for name in wanted or known:
        runs |= BARS if name == "bars" else {name: ()}
    unknown = sorted(set(runs) - set(known))
    if unknown:
        print(f"{', '.join(unknown)}: no such benchmark; there are {', '.join(known)}, and bars")
        return 2
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, load before {load}"
    )
    failed = 0
    for name, options in runs.items():
        print(f"\n== {' '.join((name, *options))}", flush=True)
        began_s = time.monotonic()
        limit_s = BAR_LIMIT_S if name in BARS else LIMIT_S
        code = run([sys.executable, "-m", known[name], *options], limit_s)
        print(f"{name}: {time.monotonic() - began_s:.0f} s, exit code {code}", flush=True)
        failed += code != 0
    return failed


def run(command: list[str], limit_s: float) -> int:
    """The exit code; that of SIGINT, or SIGKILL, where the limit ended it. Libraries get what the
    roles give them."""
    with subprocess.Popen(command, env=child_environment(SMALL)) as process:
        for number in (signal.SIGINT, signal.SIGKILL):
            try:
                return process.wait(limit_s)
            except subprocess.TimeoutExpired:
                process.send_signal(number)
                limit_s = END_S
        return process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
