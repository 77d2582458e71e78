"""`orderwire spend`: what ads cost, from files and from Meta."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ingest.spend.record import SpendReport
    from orderwire.operation.spend.spend_import import ImportResult
    from orderwire.settings.program import Settings, ShopSettings

SHOWN_LINES = 20
IMPORT_EXAMPLES = (
    "Examples: `orderwire spend import meta.csv --dry-run`,"
    " `orderwire spend import google.csv --channel google --rate USD=0.92`"
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    spend = typer.Typer(
        help="What ads cost: pull it from Meta, or import a file of any channel.",
        no_args_is_help=True,
    )
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
        from orderwire.operation.one_shop import one_shop
        from orderwire.operation.output import Refused, exit_on_failure
        from orderwire.operation.spend.spend_import import append, look, rates
        from orderwire.settings.program import Settings

        for name, value, known in (
            ("--dates", dates, ("dmy", "mdy")),
            ("--decimal", decimal, ("comma", "dot")),
        ):
            if value is not None and value not in known:
                raise typer.BadParameter(f"write {' or '.join(known)}", param_hint=name)
        with exit_on_failure("spend import"):
            settings = Settings.load()
            chosen = one_shop(settings, shop)
            options = Options(
                channel=channel,
                currency=currency,
                time_zone=time_zone,
                dates=dates,
                decimal=None if decimal is None else {"comma": ",", "dot": "."}[decimal],
            )
            converted = rates(chosen, rate or (), into.upper() if into else None)
            found = look(file, options, converted)
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

    @spend.command("pull", epilog="Example: `orderwire spend pull --days 93`")
    def pull_spend(
        shop: Annotated[str, typer.Option(help="Only this shop; else every shop.")] = "",
        days: Annotated[
            int | None,
            typer.Option(
                min=1, max=1_100, help="How many days back; else what `serve` would ask for now."
            ),
        ] = None,
    ) -> None:
        """Read the spend of META_AD_ACCOUNT_ID by campaign and day from Meta's Insights, with the
        budgets that are set.

        `orderwire serve` does so by itself every hour: the last 3 days, once a day the last 28, and
        93 days the first time. The token needs ads_read.
        """
        from orderwire.operation.one_shop import one_shop
        from orderwire.operation.output import Refused, exit_on_failure
        from orderwire.settings.program import Settings

        with exit_on_failure("spend pull"):
            settings = Settings.load()
            chosen = [one_shop(settings, shop)] if shop else list(settings.shops.values())
            with_account = [each for each in chosen if each.meta.ad_account_id is not None]
            if not with_account:
                raise Refused(
                    "no ad account is set: set META_AD_ACCOUNT_ID, and META_ADS_TOKEN where the"
                    " pixel's token has no ads_read"
                )
            failed = asyncio.run(_pull(settings, with_account, days))
            for domain, reason in failed:
                typer.echo(f"orderwire spend pull: {domain}: {reason}", err=True)
            if failed:
                raise typer.Exit(1)


async def _pull(
    settings: "Settings", shops: "Sequence[ShopSettings]", days: int | None
) -> list[tuple[str, str]]:
    """Pull for each shop; the shops that failed, and why."""
    import time

    from ingest.meta.graph import Graph, GraphError
    from orderwire.operation.existing import open_existing_store
    from orderwire.operation.spend.spend_pull import access, pull
    from orderwire.serve.schedule.services import services
    from orderwire.serve.start.connections import open_log

    def wait(seconds: float) -> bool:
        time.sleep(seconds)
        return False

    failed = []
    store = await asyncio.to_thread(open_existing_store, settings)
    try:
        log = await open_log(settings)
        try:
            with_log = services(store, log)
            for shop in shops:
                how = access(shop)
                if how is None:
                    failed.append((shop.domain, "no token: set META_ADS_TOKEN"))
                    continue
                graph = Graph(*how, wait)
                now_ms = time.time_ns() // 1_000_000
                try:
                    done = await asyncio.to_thread(
                        pull, shop, graph, store, with_log.append, now_ms, days=days
                    )
                except GraphError as error:
                    failed.append((shop.domain, str(error)))
                    continue
                account = done.account
                typer.echo(
                    f"{shop.domain}: {done.note} (ad account {account.account_id},"
                    f" {account.currency}, {account.time_zone or 'no time zone'})"
                )
        finally:
            await log.close()
    finally:
        store.close()
    return failed


def _show(found: "ImportResult") -> None:
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


def _summary(rows: "Sequence[SpendReport]") -> list[tuple[object, ...]]:
    """One line per channel and currency."""
    from stream.money import amount, minor

    groups: dict[tuple[str, str], list[SpendReport]] = {}
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
