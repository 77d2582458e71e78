"""What a backup's folder holds: its files with their digests, and how far store and log reach.

The manifest is written last, into a folder that gets its name only when it is whole: a folder with
a backup's name is complete.
"""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from orderwire.operation.refused import Refused

FILE = "backup.json"
PREFIX, STAMP = "orderwire-", "%Y%m%dT%H%M%SZ"
BLOCK = 1 << 20


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a backup."""

    name: str
    sha256: str
    bytes: int


class BackupManifest(msgspec.Struct, frozen=True, kw_only=True):
    """`backup.json`."""

    version: str
    """Of the program that wrote it."""
    made_at: datetime
    revision: str
    """Of the store's schema."""
    store: str
    """`sqlite` or `postgresql`."""
    log: str
    """`sqlite` or `kafka`; Kafka's records are not part of a backup."""
    files: list[Kept]
    waiting: int | None
    """Events that no destination had taken yet; None where it was not counted."""


def name_of(made_at: datetime) -> str:
    """The folder's name."""
    return PREFIX + made_at.astimezone(UTC).strftime(STAMP)


def digest(path: Path) -> Kept:
    """The file as the manifest lists it."""
    hashed, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            hashed.update(block)
            size += len(block)
    return Kept(name=path.name, sha256=hashed.hexdigest(), bytes=size)


def write(folder: Path, manifest: BackupManifest) -> None:
    """Write the manifest durably."""
    path = folder / FILE
    path.touch(mode=0o600)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")


def read(folder: Path) -> BackupManifest:
    """The manifest of a whole backup, each file's digest checked. Raises Refused."""
    try:
        manifest = msgspec.json.decode((folder / FILE).read_bytes(), type=BackupManifest)
    except FileNotFoundError:
        raise Refused(f"{folder} is no backup: it has no {FILE}") from None
    except (OSError, msgspec.MsgspecError) as error:
        raise Refused(f"{folder / FILE} cannot be read: {error}") from None
    for kept in manifest.files:
        try:
            found = digest(folder / kept.name)
        except OSError as error:
            raise Refused(f"{folder / kept.name}: {error.strerror or error}") from None
        if found != kept:
            raise Refused(f"{folder / kept.name} is not as it was written: take another backup")
    return manifest


def backups(folder: Path) -> list[Path]:
    """Whole backups below `folder`, oldest first."""
    return sorted(path.parent for path in folder.glob(f"{PREFIX}*/{FILE}"))
