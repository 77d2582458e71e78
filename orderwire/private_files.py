"""Finds data files that somebody but their owner may open, and closes them.

New files are private by the umask that `orderwire` and its roles set at their start.
"""

import stat
from pathlib import Path

from orderwire.settings.program import Settings, sqlite_path

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def tighten(settings: Settings) -> None:
    """Make data files of an older orderwire private. A file of somebody else stays as it is: a
    mounted volume may belong to another user."""
    for path in data_files(settings):
        if readable_by_others(path):
            try:
                path.chmod(stat.S_IMODE(path.stat().st_mode) & ~OTHERS)
            except OSError:
                continue  # `orderwire doctor` says so


def data_files(settings: Settings) -> list[Path]:
    """Log, store and spool with what SQLite keeps beside them, where they are."""
    urls = (settings.log_url, settings.store_url.get_secret_value())
    bases = [path for url in urls if (path := sqlite_path(url)) is not None]
    if settings.on_kafka:
        bases.append(settings.spool)
    return sorted({path for base in bases for path in base.parent.glob(f"{base.name}*")})


def readable_by_others(path: Path) -> bool:
    """Whether the file is there and somebody but its owner may open it."""
    try:
        return bool(path.stat().st_mode & OTHERS)
    except OSError:
        return False
