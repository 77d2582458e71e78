"""Tests lie where what they test lies: `tests/a/b/` is about `a/b/`."""

from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent
OTHERS = {
    "contracts": "suites that every implementation of a port inherits",
    "golden": "published values, and what earlier programs wrote",
    "support": "what several tests build on",
    "system": "a whole `serve`",
    "orderwire/deployment": "deploy/, docker-compose.yml and the Dockerfile",
    "stream/log/spool": "stream/log/spool.py, spool_file.py and spool_queue.py",
}
"""Folders of tests about no folder of the program, and what they are about."""


def folders() -> Iterator[str]:
    """Every folder with tests in it, below `tests/`."""
    for path in sorted(TESTS.rglob("*.py")):
        if path.parent != TESTS and path.name != "__init__.py":
            yield path.parent.relative_to(TESTS).as_posix()


def is_other(folder: str) -> bool:
    return any(folder == each or folder.startswith(f"{each}/") for each in OTHERS)


def test_every_folder_of_tests_is_about_a_folder_of_the_program() -> None:
    assert [each for each in folders() if not is_other(each) and not (ROOT / each).is_dir()] == []
    assert {each for each in OTHERS if (ROOT / each).is_dir()} == set()


def test_every_room_has_tests() -> None:
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "bench"}
    assert rooms - {each.partition("/")[0] for each in folders()} == set()
