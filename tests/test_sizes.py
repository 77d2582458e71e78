"""Files of about 100 lines, folders of about a dozen files: docs/architecture.md names what is
larger, with the reason, and nothing else."""

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[1]
ROOMS = (
    *("ingest", "stream", "processors", "aggregates", "destinations", "query"),
    *("orderwire", "simulator"),
)
MOST_LINES, MOST_FILES = 300, 13
GRACE_LINES = 20
"""By so many a file may pass the bound before it is divided, or named."""
GUIDE = (ROOT / "docs/architecture.md").read_text()
SECTION = GUIDE.split("### Where the house departs")[1].split("\n## ")[0]
ROWS = [line.split(" | ")[0] for line in SECTION.splitlines() if line.startswith("| ")]


def named(begin: str) -> set[str]:
    """What the rows from the one with this beginning on name."""
    first = next(number for number, row in enumerate(ROWS) if row.startswith(f"| {begin}"))
    return {name for row in ROWS[first:] for name in re.findall(r"`([\w/.]+)`", row)}


def files() -> dict[str, int]:
    """Lines of every file of the program."""
    return {
        path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines())
        for room in ROOMS
        for path in sorted((ROOT / room).rglob("*.py"))
    }


def test_every_long_file_is_named_with_its_reason() -> None:
    names = named("files over 300 lines")
    long = {path for path, lines in files().items() if lines > MOST_LINES + GRACE_LINES}
    assert {path for path in long if not {path, path.rpartition("/")[2]} & names} == set()


def test_no_file_is_named_that_has_become_short() -> None:
    lines = files()
    paths = {name for name in named("files over 300 lines") if "/" in name}
    assert {path for path in paths if lines.get(path, 0) <= MOST_LINES} == set()


def test_every_large_folder_is_named_and_no_other() -> None:
    counts = Counter(
        path.rpartition("/")[0] for path in files() if not path.endswith("/__init__.py")
    )
    large = {folder for folder, count in counts.items() if count > MOST_FILES}
    row = next(row for row in ROWS if row.startswith("| folders of more than 13 files"))
    found = set(re.findall(r"`([\w/]+)`", row))
    assert large - {"stream/store/migrations/versions"} == found - {"tests/system"}
