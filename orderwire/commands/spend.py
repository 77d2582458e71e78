"""`orderwire spend`: what ads cost, from files."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ingest.spend.record import Row
    from orderwire.operation.spend_import import Found

SHOWN_LINES = 20
IMPORT_EXAMPLES = (
    "Examples: `orderwire spend import meta.csv --dry-run`,"
    " `orderwire spend import google.csv --channel google --rate USD=0.92`"
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    spend = typer.Typer(help="What ads cost: import a file of any channel.", no_args_is_help=True)
    app.add_typer(spend, name="spend")

    @spend.command("import", epilog=IMPORT_EXAMPLES)
    def import_file(
        file: Annotated[Path, typer.Argument(help="A CSV by campaign and day.")],
        shop: Annotated[str, typer.Option(help="Which shop, where there are several.")] = "",
        channel: Annotated[
            str | None,
            typer.Option(help="meta, google, tiktok or another, where the file does not say."),
        ] = None,
        currency: Annotated[
            str | None, typer.Option(help="The ad account's currency, where the file has none.")
        ] = None,
        time_zone: Annotated[
            str | None, typer.Option(help="The ad account's time zone: America/Los_Angeles.")
        ] = None,
        rate: Annotated[
            list[str] | None,
            typer.Option(help="Convert a currency into the shop's: USD=0.92. May be repeated."),
        ] = None,
        into: Annotated[
            str | None,
            typer.Option(help="The currency that --rate converts into; the shop's where not said."),
        ] = None,
        dates: Annotated[
            str | None, typer.Option(help="dmy or mdy: how dates like 04/05/2026 are written.")
        ] = None,
        decimal: Annotated[
            str | None, typer.Option(help="comma or dot, where the file leaves it open.")
        ] = None,
        partial: Annotated[
            bool, typer.Option("--partial", help="Take the good lines of a file with bad ones.")
        ] = False,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Say what would be taken, and take nothing.")
        ] = False,
    ) -> None:
        """Take the spend of a CSV: the exports of Meta Ads Manager, Google Ads and TikTok Ads
        Manager by campaign and day, or the columns date, channel, campaign_id, campaign_name,
        currency, spend, and where known impressions, clicks, platform_revenue, platform_orders,
        time_zone, reported_at.

        A later report of a campaign's day replaces an earlier one, so importing a file again is
        harmless. Lines of the same campaign and day are added together. Nothing is taken of a file
        with a bad line unless --partial is given. Amounts stay in the ad account's currency unless
        --rate converts them; days stay the ad account's.
        """
        from ingest.spend.file import Options
        from orderwire.operation.choice import chosen_shop
        from orderwire.operation.output import Refused, exit_on_failure
        from orderwire.operation.spend_import import append, look, rates
        from orderwire.settings.program import Settings

        for name, value, known in (
            ("--dates", dates, ("dmy", "mdy")),
            ("--decimal", decimal, ("comma", "dot")),
        ):
            if value is not None and value not in known:
                raise typer.BadParameter(f"write {' or '.join(known)}", param_hint=name)
        with exit_on_failure("spend import"):
            settings = Settings.load()
            chosen = chosen_shop(settings, shop)
            options = Options(
                channel=channel,
                currency=currency,
                time_zone=time_zone,
                dates=dates,
                decimal=None if decimal is None else {"comma": ",", "dot": "."}[decimal],
                rates=rates(rate or ()),
                into=into.upper() if into else chosen.currency,
            )
            found = look(file, chosen, options)
            _show(found)
            if found.bad and not partial:
                raise Refused(
                    f"{len(found.bad)} of {found.report.lines} lines cannot be read, so nothing was"
                    " taken: mend them, or take the others with --partial"
                )
            if dry_run or not found.rows:
                typer.echo("nothing was taken" if not dry_run else "dry run: nothing was taken")
                return
            asyncio.run(append(settings, chosen, found.rows))
            typer.echo(
                f"{len(found.rows)} campaign days of {chosen.domain} taken; `orderwire serve`"
                " counts them in /v1/budget"
            )


def _show(found: "Found") -> None:
    from orderwire.operation.output import show

    if found.rows:
        show("Spend", ("channel", "campaigns", "days", "from", "to", "spend"), _summary(found.rows))
    report = found.report
    typer.echo(
        f"{report.lines} lines of spend, {report.totals} lines of totals left out,"
        f" {len(report.days)} campaign days"
    )
    for bad in found.bad[:SHOWN_LINES]:
        typer.echo(f"  line {bad.line}: {bad.reason}", err=True)
    if len(found.bad) > SHOWN_LINES:
        typer.echo(f"  and {len(found.bad) - SHOWN_LINES} more", err=True)


def _summary(rows: "Sequence[Row]") -> list[tuple[object, ...]]:
    """One line per channel and currency."""
    from stream.money import amount, minor

    groups: dict[tuple[str, str], list[Row]] = {}
    for each in rows:
        groups.setdefault((each["channel"], each["currency"]), []).append(each)
    return [
        (
            channel,
            len({each["campaign_id"] or each["campaign_name"] for each in its}),
            len({each["date"] for each in its}),
            min(each["date"] for each in its),
            max(each["date"] for each in its),
            f"{amount(sum(minor(each['spend'], currency) for each in its), currency)} {currency}",
        )
        for (channel, currency), its in sorted(groups.items())
    ]
