"""`orderwire doctor`: checks the installation and says what to fix."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from orderwire.doctor import Line
    from orderwire.settings.program import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Example: `orderwire doctor --offline`")
    def doctor(
        offline: Annotated[
            bool, typer.Option("--offline", help="Do not ask Meta and Shopify.")
        ] = False,
    ) -> None:
        """Check configuration, log, store, disk, ports, clock, Meta and Shopify; changes nothing
        and shows no secret.

        Each line is **ok**, a **hint** (it works, and could be better) or something to **fix**; the
        exit code is 1 if anything is to be fixed.
        """
        from orderwire.doctor import fix
        from orderwire.operation.output import log_to_stderr
        from orderwire.settings.program import ConfigurationError, Settings

        log_to_stderr()
        try:
            lines = _look(Settings.load(), offline)
        except ConfigurationError as error:
            lines = [fix("settings", str(error))]
        _show(lines)
        raise typer.Exit(1 if any(line.state == "fix" for line in lines) else 0)


def _look(settings: "Settings", offline: bool) -> "list[Line]":
    from orderwire.doctor import configuration, fix, keeping, machine, outside
    from orderwire.doctor.predictions import predicted_ltv_lines
    from orderwire.operation.existing import open_existing_store
    from orderwire.operation.standing import read
    from stream.store.contract import StoreError

    lines = configuration.check(settings)
    lines += machine.private_lines(settings, Path())
    lines += machine.disk_lines(settings)
    lines += keeping.log_lines(settings)
    schema = keeping.schema_line(settings)
    lines.append(schema)
    clocks: list[tuple[str, float]] = []
    alive: set[str] = set()
    if schema.state == "ok" and "empty" not in schema.text:
        try:
            store = open_existing_store(settings)
            try:
                kept = read(settings, store, time.time_ns() // 1_000_000)
                clocks += keeping.database_clock(store)
                steps = keeping.step_lines(store, time.time_ns() // 1_000_000)
                predictions = predicted_ltv_lines(settings, store)
            finally:
                store.close()
            alive = {role.role for role in kept.roles if role.alive}
            lines += keeping.work_lines(settings, kept)
            lines += predictions
            lines += steps
        except StoreError as error:
            lines.append(fix("store", str(error)))
    else:
        lines.append(keeping.spool_line(settings))
    lines += machine.port_lines(settings, alive)
    if not offline:
        found, theirs = outside.check(list(settings.shops.values()))
        lines += found
        lines += _scopes(settings, schema.state == "ok" and "empty" not in schema.text)
        clocks += theirs
    if clocks or not offline:
        lines.append(machine.clock_line(clocks))
    return lines


def _scopes(settings: "Settings", stored: bool) -> "list[Line]":
    from orderwire.doctor.scopes import scope_lines
    from orderwire.operation.existing import open_existing_store

    shops = list(settings.shops.values())
    if not stored:
        return scope_lines(shops, None)
    store = open_existing_store(settings)
    try:
        return scope_lines(shops, store)
    finally:
        store.close()


def _show(lines: "Sequence[Line]") -> None:
    import sys

    if not sys.stdout.isatty():
        for line in lines:
            typer.echo(f"{line.state:<4}  {line.subject}: {line.text}")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    colours = {"ok": "green", "hint": "yellow", "fix": "bold red"}
    for line in lines:
        table.add_row(
            Text(line.state, colours[line.state]),
            Text(line.subject, "bold"),
            Text(line.text, overflow="fold"),
        )
    Console().print(table)
