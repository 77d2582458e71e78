"""`orderwire serve`."""

import os
import sys
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from orderwire.settings.program import Settings

ROLES = ("receive", "process", "query")
EX_CONFIG = 78
"""sysexits(3): starting again would not help."""


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Example: `orderwire serve --roles receive,query`")
    def serve(
        roles: Annotated[
            str | None,
            typer.Option(
                help="Which roles to run here, comma-separated; default: ORDERWIRE_ROLES, or all."
            ),
        ] = None,
    ) -> None:
        """Run receiver, processors and API, each in its own process, until Ctrl-C or SIGTERM."""
        settings = _configured()
        roles = settings.roles if roles is None else roles
        wanted = [role.strip() for role in roles.split(",") if role.strip()]
        unknown = [role for role in wanted if role not in ROLES]
        if unknown or not wanted:
            raise typer.BadParameter(
                f"{', '.join(unknown) or 'nothing'} is no role; choose from {', '.join(ROLES)}",
                param_hint="--roles",
            )
        _open(settings, wanted)
        # Replace this process: the supervisor stays for as long as the shop sells, and needs
        # nothing of what the command line has loaded.
        from orderwire.serve.supervisor import keep_small

        keep_small()  # Before the first memory of the process that roles are forked of.
        command = [sys.executable, "-m", "orderwire.serve.supervisor", *wanted]
        os.execv(sys.executable, command)  # noqa: S606 - our own module


def _configured() -> "Settings":
    from orderwire.settings.program import ConfigurationError, Settings

    try:
        return Settings.load()
    except ConfigurationError as error:
        _refuse(error)


def _open(settings: "Settings", roles: list[str]) -> None:
    """Report a configuration that cannot work once, before any role logs; else the addresses."""
    from orderwire.serve.start.opening import addresses, check, next_steps
    from orderwire.serve.supervisor import log_line
    from orderwire.settings.program import ConfigurationError

    try:
        check(settings, roles)
    except ConfigurationError as error:
        _refuse(error)
    lines = addresses(settings, roles)
    if sys.stderr.isatty():
        lines += [*next_steps(settings, roles), "Ctrl-C ends it; its log follows"]
    for line in lines:
        log_line("info", line)


def _refuse(error: Exception) -> NoReturn:
    typer.echo(f"orderwire serve: {error}", err=True)
    raise typer.Exit(EX_CONFIG)
