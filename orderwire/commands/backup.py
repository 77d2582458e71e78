"""`orderwire backup` and `orderwire restore`."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from orderwire.operation.backup.manifest import BackupManifest

RECOGNISED = timedelta(hours=47)
"""Meta deduplicates events of one id for 48 hours (docs/facts/meta.md); an hour is for the way."""


def register(app: typer.Typer) -> None:
    """Add the commands."""

    @app.command(epilog="Example, nightly: `orderwire backup /srv/backup --keep 7`")
    def backup(
        folder: Annotated[
            Path, typer.Argument(help="The backup becomes a folder in it, of its time's name.")
        ] = Path("backup"),
        keep: Annotated[
            int | None,
            typer.Option(min=1, help="Delete all backups in it but the newest so many."),
        ] = None,
    ) -> None:
        """Back up store and log together, while `serve` runs.

        SQLite files are copied at one moment each, the store first; PostgreSQL is dumped by
        `pg_dump`. Kafka keeps its records by itself. A backup holds personal data, and is readable
        by its owner only.
        """
        from orderwire.operation.output import exit_on_failure

        with exit_on_failure("backup"):
            from orderwire.operation.backup.making import make
            from orderwire.settings.program import Settings

            made = make(Settings.load(), folder, datetime.now(UTC), keep=keep)
            size = sum(kept.bytes for kept in made.manifest.files)
            files = ", ".join(kept.name for kept in made.manifest.files)
            typer.echo(f"{made.folder}: {files}, {size / 1e6:,.1f} MB")
            for old in made.deleted:
                typer.echo(f"deleted {old}")

    @app.command(
        epilog="Example: `orderwire restore backup/orderwire-20261128T030000Z`, then "
        "`orderwire serve`"
    )
    def restore(
        folder: Annotated[Path, typer.Argument(help="One backup's folder.")],
    ) -> None:
        """Put a backup in the place of store and log, while `serve` is stopped.

        What is there now is kept beside it. Killed in the middle, `serve` does not start until the
        same command has finished.
        """
        from orderwire.operation.output import exit_on_failure

        with exit_on_failure("restore"):
            from orderwire.operation.backup.restoring import restore as put_back
            from orderwire.settings.program import Settings

            now = datetime.now(UTC)
            restored = put_back(Settings.load(), folder, now)
            typer.echo(f"restored {restored.backup}; next: `orderwire serve`")
            for aside in restored.aside:
                typer.echo(f"what was there before is in {aside}: delete it in time")
            if restored.manifest is not None:
                _say_what_is_sent_again(restored.manifest, now)


def _say_what_is_sent_again(kept: "BackupManifest", now: datetime) -> None:
    age = now - kept.made_at
    hours = age.total_seconds() / 3600
    typer.echo(
        f"it is {hours:,.1f} hours old; events that waited then are sent again under their ids"
        + ("" if kept.waiting is None else f" ({kept.waiting} of them)")
    )
    if age > RECOGNISED:
        typer.echo(
            "Meta recognises an event for 48 hours only: start with META_DRY_RUN=true until "
            "`orderwire status` shows no lag and `reconcile` has run, or orders that were sent "
            "since the backup count twice (docs/operation.md, Backup and restore)",
            err=True,
        )
