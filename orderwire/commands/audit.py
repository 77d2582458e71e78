"""`orderwire audit TYPE`: runs one audit here and now, and prints what it found."""

from typing import TYPE_CHECKING, Annotated

import typer

from processors.audits.run import DAYS, MOST_DAYS, STEPS

if TYPE_CHECKING:
    from query.endpoints.audits import Audit


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Example: `orderwire audit capi`")
    def audit(
        kind: Annotated[str, typer.Argument(metavar="TYPE", help=f"One of {', '.join(STEPS)}.")],
        shop: Annotated[str, typer.Option(help="The shop, where several are configured.")] = "",
        days: Annotated[
            int, typer.Option(min=1, max=MOST_DAYS, help="Days of orders to look at.")
        ] = DAYS,
        as_json: Annotated[
            bool, typer.Option("--json", help="As `GET /api/audits/session` shows it.")
        ] = False,
    ) -> None:
        """Run an audit and print its steps, issues and headline figures.

        It works beside `orderwire serve` and without it. The exit code is 1 if it ends in error.
        """
        from orderwire.operation.auditing import run_audit
        from orderwire.operation.output import exit_on_failure

        with exit_on_failure("audit"):
            found = run_audit(kind, shop, days)
        if as_json:
            import msgspec

            typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
        else:
            _show(found)
        raise typer.Exit(1 if found.status == "error" else 0)


def _show(found: "Audit") -> None:
    for step in found.steps:
        took = "" if step.duration_ms is None else f" {step.duration_ms:.0f} ms"
        typer.echo(f"{step.status:<8} {step.name}{took} {step.error_message or ''}".rstrip())
    for issue in found.issues:
        typer.echo(f"{issue.severity}: {issue.message}: {issue.action}")
    for name, value in found.summary.items():
        typer.echo(f"{name}: {'not known' if value is None else value}")
    typer.echo(f"{found.audit_type}: {found.status}")
