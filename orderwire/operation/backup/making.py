"""Makes a backup: the store first, then the log, so that the log has all that the store read."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from orderwire.operation.backup import manifest, postgres, sqlite_files
from orderwire.operation.backup.manifest import BackupManifest
from orderwire.operation.backup.restoring import refuse_unfinished
from orderwire.operation.existing import NothingThere, store_revision
from orderwire.operation.refused import Refused
from orderwire.settings.program import Settings
from query.api_settings import ApiSettings

STORE, LOG, DUMP = "state.db", "log.db", "state.dump"
PARTIAL = ".partial"


class Made(NamedTuple):
    """A backup that was made, and older ones that were deleted."""

    folder: Path
    manifest: BackupManifest
    deleted: list[Path]


def make(settings: Settings, folder: Path, now: datetime, *, keep: int | None = None) -> Made:
    """Back up what the settings name into a new folder below `folder`, and delete all but the
    newest `keep`.

    A backup appears whole, under its name, or not at all. Raises Refused, NothingThere, StoreError.
    """
    refuse_unfinished(settings)
    url = settings.store_url.get_secret_value()
    revision = store_revision(url)
    if revision is None:
        raise NothingThere("there is no store yet: `orderwire serve` makes it")
    final = folder / manifest.name_of(now)
    if final.exists():
        raise Refused(f"{final} exists already")
    with _only_one(folder):
        partial = folder / PARTIAL
        shutil.rmtree(partial, ignore_errors=True)  # of one that was killed
        partial.mkdir(mode=0o700)
        try:
            made = _fill(settings, url, revision, partial, now)
        except OSError as error:
            raise Refused(f"{folder}: {error.strerror or error}") from None
        finally:
            if not (partial / manifest.FILE).exists():
                shutil.rmtree(partial, ignore_errors=True)
        partial.rename(final)
        sqlite_files.flush(folder)
        deleted = manifest.backups(folder)[:-keep] if keep else []
        for old in deleted:
            shutil.rmtree(old)
    return Made(final, made, deleted)


def _fill(
    settings: Settings, url: str, revision: str, partial: Path, now: datetime
) -> BackupManifest:
    names, waiting = [], None
    store, log = settings.store_file, settings.log_file
    if store is None:
        postgres.dump(url, partial / DUMP)
        names.append(DUMP)
    else:
        sqlite_files.copy(store, partial / STORE)
        waiting = sqlite_files.waiting(partial / STORE)
        names.append(STORE)
    if log is not None:
        sqlite_files.copy(log, partial / LOG)
        names.append(LOG)
    if store is not None and log is not None:
        sqlite_files.check_pair(partial / STORE, partial / LOG)
    made = BackupManifest(
        version=ApiSettings({}).version,
        made_at=now,
        revision=revision,
        store="postgresql" if store is None else "sqlite",
        log="kafka" if log is None else "sqlite",
        files=[manifest.digest(partial / name) for name in names],
        waiting=waiting,
    )
    for name in names:
        sqlite_files.flush(partial / name)
    manifest.write(partial, made)
    sqlite_files.flush(partial / manifest.FILE)
    sqlite_files.flush(partial)
    return made


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """The folder, locked for as long as this process works in it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        number = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise Refused(f"{folder}: {error.strerror or error}") from None
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Refused(f"another backup is being made in {folder}") from None
    finally:
        os.close(number)
