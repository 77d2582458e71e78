"""`orderwire serve`."""

import os
import sys
from typing import Annotated

import typer

ROLES = ("receive", "process", "query")


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Example: `orderwire serve --roles receive,query`")
    def serve(
        roles: Annotated[
            str,
            typer.Option(
                help="Which roles to run here, comma-separated.", envvar="ORDERWIRE_ROLES"
            ),
        ] = ",".join(ROLES),
    ) -> None:
        """Run the receiver, the processors and the API, each in a process of its own, until Ctrl-C or SIGTERM."""
        wanted = [role.strip() for role in roles.split(",") if role.strip()]
        unknown = [role for role in wanted if role not in ROLES]
        if unknown or not wanted:
            raise typer.BadParameter(
                f"{', '.join(unknown) or 'nothing'} is no role; choose from {', '.join(ROLES)}",
                param_hint="--roles",
            )
        # Replace this process: the supervisor stays for as long as the shop sells, and needs none of what the command line has loaded.
        os.execv(sys.executable, [sys.executable, "-m", "orderwire.serve.supervisor", *wanted])  # noqa: S606 - our own module
