"""`orderwire migrate-store`: copies a store to another database, and moves to another log with
it."""

import asyncio
import time
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from orderwire.operation.moving.store_copy import Copied
    from orderwire.settings.program import Settings
    from stream.store.sql.store import SqlStore

EXAMPLES = (
    "Examples: `orderwire migrate-store --to postgresql://orderwire@db/orderwire`, or with the "
    "log: `orderwire migrate-store --to postgresql://orderwire@db/orderwire --from-log "
    "sqlite:///data/log.db --to-log kafka://broker:9092`"
)


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command("migrate-store", epilog=EXAMPLES)
    def migrate_store(
        source: Annotated[
            str | None,
            typer.Option(
                "--from", help="URL of the store to copy; ORDERWIRE_STORE_URL if left out."
            ),
        ] = None,
        target: Annotated[
            str | None,
            typer.Option("--to", help="URL of an empty store: sqlite:///path or postgresql://..."),
        ] = None,
        source_log: Annotated[
            str | None,
            typer.Option("--from-log", help="URL of the log that the store was filled from."),
        ] = None,
        target_log: Annotated[
            str | None,
            typer.Option("--to-log", help="URL of the log that it will read from now on."),
        ] = None,
        force: Annotated[
            bool, typer.Option("--force", help="Do not check whether roles are alive.")
        ] = False,
    ) -> None:
        """Copy a store to another database and check that both are equal; with the log URLs, move
        to another log as well.

        Stop `orderwire serve` first: Shopify delivers again, for 4 hours, what nobody acknowledged.
        The target must be empty, and stays so if anything fails. A password need not stand in a
        URL: PGPASSWORD and `~/.pgpass` work. Kafka's settings are those of the environment. With
        `--from-log` and `--to-log` records not yet read are copied to the new log, and positions
        begin there; without `--to` this is done to the store `--from` itself. See 'Moving to Kafka
        and PostgreSQL' in docs/operation.md.
        """
        from orderwire.operation.output import Refused, exit_on_failure

        if (source_log is None) != (target_log is None):
            raise typer.BadParameter(
                "--from-log and --to-log belong together", param_hint="--from-log / --to-log"
            )
        if target is None and target_log is None:
            raise typer.BadParameter(
                "say where to: --to, or --from-log with --to-log", param_hint="--to"
            )
        with exit_on_failure("migrate-store"):
            from orderwire.settings.program import Settings

            settings = Settings.load()
            url = source or settings.store_url.get_secret_value()
            try:
                asyncio.run(_migrate(settings, url, target, source_log, target_log, force))
            except ValueError as error:
                raise Refused(str(error)) from None


async def _migrate(
    settings: "Settings",
    source: str,
    target: str | None,
    source_log: str | None,
    target_log: str | None,
    force: bool,
) -> None:
    from orderwire.operation.existing import NothingThere, store_revision
    from orderwire.operation.refused import Refused
    from stream.log.contract import LogError
    from stream.store.sql.store import SqlStore

    if source == target or (source_log is not None and source_log == target_log):
        raise Refused("source and target are the same")
    if store_revision(source) is None:
        raise NothingThere("there is no store at --from")
    old = await asyncio.to_thread(SqlStore.open, source)
    try:
        if not force:
            _refuse_alive(old, "the source", ("receive", "process", "query"))
        if target is None:
            await _move_log(settings, old, str(source_log), str(target_log))
            return
        new = await asyncio.to_thread(SqlStore.open, target)
        try:
            if not force:
                # A receiver may already run: it writes only its heartbeat to the store.
                _refuse_alive(new, "the target", ("process", "query"))
            await asyncio.to_thread(_copy, old, new)
            if source_log is not None:
                try:
                    await _move_log(settings, new, source_log, str(target_log))
                except (LogError, Refused, NothingThere) as error:
                    raise Refused(
                        f"{error}. The store is copied; go on with `orderwire migrate-store --from "
                        "NEW_STORE --from-log ... --to-log ...`"
                    ) from None
        finally:
            new.close()
    finally:
        old.close()


def _refuse_alive(store: "SqlStore", which: str, roles: tuple[str, ...]) -> None:
    from orderwire.operation.refused import Refused
    from orderwire.operation.standing import ROLE_SILENT_MS
    from query.status.answer import read_roles

    with store.snapshot() as snapshot:
        found = read_roles(snapshot, time.time_ns() // 1_000_000, ROLE_SILENT_MS)
    alive = sorted(
        {f"{role.role} ({role.instance})" for role in found if role.alive and role.role in roles}
    )
    if alive:
        raise Refused(
            f"roles are at work on {which}: {', '.join(alive)}; stop them first (one that was "
            f"killed counts as alive for {ROLE_SILENT_MS // 1000} s), or use --force if you know "
            "better"
        )


def _copy(source: "SqlStore", target: "SqlStore") -> None:
    from orderwire.operation.moving.store_copy import copy
    from orderwire.operation.output import progress, show

    done: dict[str, int] = {}
    with progress("Rows") as advance:

        def count(table: str, rows: int) -> None:
            done[table] = rows
            advance(sum(done.values()), sum(done.values()))

        copied: list[Copied] = copy(source, target, count)
    equal = [
        (one.table, one.source.rows, one.target.rows, f"{one.target.digest:032x}", "equal")
        for one in copied
        if one.source.rows
    ]
    show("Copied", ("table", "rows there", "rows here", "digest of both", ""), equal)
    typer.echo(
        f"{sum(one.source.rows for one in copied)} rows of {len(copied)} tables are equal on both "
        "sides"
    )


async def _move_log(settings: "Settings", store: "SqlStore", source: str, target: str) -> None:
    from orderwire.operation.existing import open_existing_log
    from orderwire.operation.moving.log_move import begin_at_first, copy_unread
    from orderwire.operation.output import Refused, progress
    from orderwire.operation.standing import feeds
    from orderwire.serve.start.connections import open_log
    from stream.log.spool import read_state

    spooled = read_state(settings.spool).records
    if spooled and not target.startswith("kafka://"):
        raise Refused(
            f"{spooled} records wait in {settings.spool} for the old log: let `orderwire serve "
            "--roles receive` drain them"
        )
    moving = feeds(settings)
    old = await open_existing_log(_with_log(settings, source))
    try:
        new = await open_log(_with_log(settings, target))
        try:
            with progress("Records") as advance:
                copied = await copy_unread(old, new, store, moving, advance)
            await begin_at_first(new, store, moving)
        finally:
            await new.close()
    finally:
        await old.close()
    for topic, records in sorted(copied.items()):
        typer.echo(f"{records} records of {topic} copied to the new log")
    typer.echo(
        "every processor begins at the first record of the new log; set ORDERWIRE_LOG_URL to it "
        "before the next start"
    )


def _with_log(settings: "Settings", url: str) -> "Settings":
    if not url.startswith(("sqlite:///", "kafka://")):
        raise ValueError("a log's URL is sqlite:///path or kafka://host:port[,host:port]")
    return settings.model_copy(update={"log_url": url})
