"""`make bench`: runs every benchmark in a process of its own; `make bench ARGS=fold` runs one.
Ratios within one run count, since other work on the machine disturbs the absolute figures."""

import os
import platform
import subprocess
import sys
from pathlib import Path


def names() -> list[str]:
    """The benchmarks there are."""
    folder = Path(__file__).parent
    modules = [path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")]
    return sorted([*modules, *(path.parent.name for path in folder.glob("*/__main__.py"))])


def main(wanted: list[str]) -> int:
    """Run those named, or all. The number of those that could not run."""
    unknown = sorted(set(wanted) - set(names()))
    if unknown:
        print(f"{', '.join(unknown)}: no such benchmark; there are {', '.join(names())}")
        return 2
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, load before {load}"
    )
    failed = 0
    for name in wanted or names():
        print(f"\n== {name}", flush=True)
        failed += (
            subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False).returncode != 0
        )
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
