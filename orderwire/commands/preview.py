"""`orderwire preview`: shows the events that an order would send."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from orderwire.operation.preview import Preview

EXAMPLE = "Example: `orderwire preview order.json --shop your-shop.myshopify.com`"


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog=EXAMPLE)
    def preview(
        file: Annotated[
            Path, typer.Argument(help="An order: a webhook's body, or one of GraphQL or Events.")
        ],
        shop: Annotated[str, typer.Option(help="Which shop, where there are several.")] = "",
        received: Annotated[
            str | None,
            typer.Option(help="As if it had arrived then (2026-11-26T12:00:00Z); else now."),
        ] = None,
        as_json: Annotated[
            bool, typer.Option("--json", help="Print JSON and nothing else.")
        ] = False,
    ) -> None:
        """Show the event that each destination would get of an order, what it lacks and why, and
        what becomes of it.

        Nothing is sent, stored or asked of anybody. E-mail addresses, names and the like stand
        hashed, as they are sent; an IP address and a user agent are sent as they are and not shown.
        What only the shop's history says (an earlier click, an earlier order) is not in a preview.
        """
        from datetime import datetime

        from orderwire.operation.one_shop import one_shop
        from orderwire.operation.output import exit_on_failure
        from orderwire.operation.preview import preview as previewed
        from orderwire.operation.preview import read_body
        from orderwire.settings.program import Settings

        at = None
        if received is not None:
            try:
                at = datetime.fromisoformat(received)
            except ValueError:
                at = None
            if at is None or at.tzinfo is None:
                raise typer.BadParameter(
                    "write it as 2026-11-26T12:00:00Z", param_hint="--received"
                )
        with exit_on_failure("preview"):
            settings = Settings.load()
            found = previewed(settings, one_shop(settings, shop), read_body(file), at)
            if as_json:
                _print_json(found)
            else:
                for each in found:
                    _show(each)


def _print_json(found: "list[Preview]") -> None:
    import msgspec
    import orjson

    typer.echo(orjson.dumps(msgspec.to_builtins(found), option=orjson.OPT_INDENT_2))


def _show(each: "Preview") -> None:
    import orjson

    reason = f" ({each.reason})" if each.reason else ""
    typer.echo(
        f"{each.destination} ({each.account}): {each.event_name} {each.event_id}:"
        f" {_OUTCOMES.get(each.outcome, each.outcome)}{reason}"
    )
    if each.event is not None:
        typer.echo(orjson.dumps(each.event, option=orjson.OPT_INDENT_2))
    for name, why in each.left_out.items():
        typer.echo(f"  left out: {name}: {why}")


_OUTCOMES = {
    "pending": "would be sent",
    "dry_run": "built and kept, not sent: META_DRY_RUN is set",
    "skipped": "would not be sent",
    "no_consent": "would not be sent: no consent",
    "too_old": "would not be sent: too old",
}
