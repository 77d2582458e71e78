"""`orderwire`: the command line. A command that fails says what to do next and exits non-zero."""

import os
from typing import Annotated

import typer

from orderwire.commands import (
    audit,
    backfill,
    backup,
    demo,
    doctor,
    migrate_store,
    pixel,
    preview,
    rebuild,
    reconcile,
    redact,
    replay,
    serve,
    spend,
    status,
    subscribe,
    token,
)

app = typer.Typer(
    name="orderwire",
    help="Turns a Shopify shop's webhooks into Meta Purchase events and live RFM, cart and "
    "ad-budget numbers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
COMMANDS = (
    serve,
    demo,
    doctor,
    status,
    audit,
    subscribe,
    spend,
    preview,
    replay,
    rebuild,
    backfill,
    reconcile,
    pixel,
    redact,
    backup,
    migrate_store,
    token,
)
for command in COMMANDS:
    command.register(app)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("orderwire"))
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before the command."""


def main() -> None:
    """Entry point of the console script."""
    os.umask(0o077)  # files that hold bodies or secrets are their owner's only
    app()
