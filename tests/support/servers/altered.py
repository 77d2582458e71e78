"""This program with some of its files changed, beside it."""

import shutil
from collections.abc import Collection
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGES = (
    "ingest",
    "stream",
    "processors",
    "aggregates",
    "destinations",
    "query",
    "orderwire",
    "simulator",
)


def write_program(
    folder: Path, changed: Collection[str], packages: Collection[str] = PACKAGES
) -> None:
    """The program in `folder`, for an interpreter whose PYTHONPATH it is. Folders of `changed` are
    copies, in which files may be changed and added; all else is links."""
    for package in packages:
        _place(Path(package), folder, changed)


def _place(path: Path, folder: Path, changed: Collection[str]) -> None:
    place = folder / path
    if str(path) in changed:
        # With what is compiled, which takes seconds: it is valid for copies of the same time. Not
        # with what another process is compiling at this moment.
        shutil.copytree(ROOT / path, place, ignore=shutil.ignore_patterns("*.pyc.*"))
    elif any(each.startswith(f"{path}/") for each in changed):
        place.mkdir(parents=True)
        for within in (ROOT / path).iterdir():
            _place(path / within.name, folder, changed)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(ROOT / path)


def add_file(folder: Path, name: str, text: str) -> None:
    """Write one more file of the program in `folder`. Raises ValueError where its folder is a
    link: it would be written into this program."""
    path = folder / name
    if not path.parent.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{name}: its folder has to be among `changed`")
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
