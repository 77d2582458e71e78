"""Puts a backup in the place of log and store; what was there is kept beside it.

A marker stands beside the store from the first file that moves to the last: `serve` does not start
on half of a pair, and the next `orderwire restore` goes on.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from orderwire.operation.backup import manifest, postgres, sqlite_files
from orderwire.operation.backup.manifest import BackupManifest
from orderwire.operation.backup.sqlite_files import Swap
from orderwire.operation.existing import store_revision
from orderwire.operation.refused import Refused
from orderwire.serve.start.restore_marker import marker_of
from orderwire.settings.program import Settings
from stream.store.migrations.run import revisions

ASIDE = "before-restore-%Y%m%dT%H%M%SZ"


class Unfinished(msgspec.Struct, frozen=True):
    """The marker's content."""

    backup: str
    aside: str


class Restored(NamedTuple):
    """What a restore did."""

    backup: Path
    manifest: BackupManifest | None
    """None where it only finished another one that was killed."""
    aside: list[Path]
    """Folders with what was there before."""


def restore(settings: Settings, folder: Path, now: datetime) -> Restored:
    """Restore the backup in `folder`, or finish a restore that was killed. Raises Refused,
    StoreError."""
    marker = marker_of(settings)
    found = _unfinished(marker)
    _refuse_in_use(settings)
    if found is not None:
        _finish(settings, marker, found)
        return Restored(Path(found.backup), None, _aside(settings, found.aside))
    kept = manifest.read(folder)
    _refuse_unfit(settings, kept)
    if kept.store == "postgresql":
        postgres.restore(settings.store_url.get_secret_value(), folder / kept.files[0].name)
    swaps = _swaps(settings, folder, kept)
    started = Unfinished(str(folder), now.astimezone(UTC).strftime(ASIDE))
    if swaps:
        for swap in swaps:
            sqlite_files.check(swap.kept)
        sqlite_files.prepare(swaps)
        marker.touch(mode=0o600)
        marker.write_bytes(msgspec.json.encode(started))
        sqlite_files.flush(marker)
        sqlite_files.flush(marker.parent)
        _finish(settings, marker, started)
    return Restored(folder, kept, _aside(settings, started.aside))


def refuse_unfinished(settings: Settings) -> None:
    """Raises Refused while a restore is not finished."""
    if (found := _unfinished(marker_of(settings))) is not None:
        raise Refused(unfinished_text(found.backup))


def unfinished_text(backup: str) -> str:
    """What to do about a restore that was killed."""
    return f"a restore was killed in the middle: run `orderwire restore {backup}` to finish it"


def _unfinished(marker: Path) -> Unfinished | None:
    try:
        return msgspec.json.decode(marker.read_bytes(), type=Unfinished)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise Refused(f"{marker} cannot be read: {error}") from None


def _finish(settings: Settings, marker: Path, started: Unfinished) -> None:
    sqlite_files.swap_all(_files(settings), started.aside)
    marker.unlink()
    sqlite_files.flush(marker.parent)


def _files(settings: Settings) -> list[Path]:
    return [path for path in (settings.store_file, settings.log_file) if path is not None]


def _aside(settings: Settings, name: str) -> list[Path]:
    folders = {path.parent / name for path in _files(settings)}
    return sorted(path for path in folders if path.exists() and any(path.iterdir()))


def _swaps(settings: Settings, folder: Path, kept: BackupManifest) -> list[Swap]:
    files = {"log.db": settings.log_file, "state.db": settings.store_file}
    return [
        Swap(folder / one.name, target)
        for one in kept.files
        if (target := files.get(one.name)) is not None
    ]


def _refuse_in_use(settings: Settings) -> None:
    for path in _files(settings):
        if sqlite_files.in_use(path):
            raise Refused(f"{path} is in use: stop `orderwire serve` first")


def _refuse_unfit(settings: Settings, kept: BackupManifest) -> None:
    here = (
        "postgresql" if settings.store_file is None else "sqlite",
        "kafka" if settings.log_file is None else "sqlite",
    )
    if here != (kept.store, kept.log):
        raise Refused(
            f"the backup is of a store on {kept.store} and a log on {kept.log}, the settings name "
            f"{here[0]} and {here[1]}: set ORDERWIRE_STORE_URL and ORDERWIRE_LOG_URL accordingly, "
            "and move with `orderwire migrate-store` afterwards"
        )
    known: Collection[str] = revisions()
    if kept.revision not in known:
        raise Refused(
            f"the backup's schema is {kept.revision}, which this program does not know: install "
            f"orderwire {kept.version} or newer"
        )
    if here[0] == "postgresql":
        url = settings.store_url.get_secret_value()
        if store_revision(url) is not None:
            raise Refused(
                "the database has a store already: make an empty one (`createdb`) and set "
                "ORDERWIRE_STORE_URL to it"
            )
