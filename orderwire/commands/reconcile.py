"""`orderwire reconcile`: finds what webhooks missed, and shows a day's statement."""

import threading
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from orderwire.serve.reconcile.reconciling import Found
    from orderwire.settings.program import Settings, ShopSettings
    from query.endpoints.statement import Statement

EXAMPLES = (
    "Examples: `orderwire reconcile --hours 24`, `orderwire reconcile --hours 48 --dry-run`,"
    " `orderwire reconcile --statement 2026-11-26`, `orderwire reconcile --events --hours 72`"
)


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog=EXAMPLES)
    def reconcile(
        shop: Annotated[str, typer.Option(help="Which shop, where there are several.")] = "",
        hours: Annotated[float, typer.Option(min=0.1, max=24 * 60, help="How far back.")] = 24.0,
        statement: Annotated[
            datetime | None,
            typer.Option(formats=["%Y-%m-%d"], help="Say what became of this day's orders."),
        ] = None,
        destination: Annotated[
            str,
            typer.Option(
                help="With --statement: the account whose events count; else meta, or the first"
                " that the shop has."
            ),
        ] = "",
        as_json: Annotated[
            bool, typer.Option("--json", help="With --statement: as GET /v1/statement has it.")
        ] = False,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Say what was missed and bring nothing.")
        ] = False,
        events: Annotated[
            bool,
            typer.Option(
                "--events",
                help="Say what classic webhooks brought and Shopify Events did not, or the other"
                " way round. Asks Shopify nothing.",
            ),
        ] = False,
    ) -> None:
        """Compare what Shopify has with what was counted.

        Orders that changed lately and that no webhook brought are read from the Admin API, counted
        like any other, and their Purchases sent where they are young enough. `orderwire serve` does
        it every hour by itself.

        **--statement** accounts for every order of a day: sent, skipped by reason, dead, waiting or
        missing, per channel, in orders and in money.
        """
        from orderwire.operation.one_shop import one_shop
        from orderwire.operation.output import exit_on_failure
        from orderwire.settings.program import Settings

        with exit_on_failure("reconcile"):
            settings = Settings.load()
            chosen = one_shop(settings, shop)
            if events:
                _compare_families(settings, chosen.domain, hours)
                return
            if statement is None:
                _show(_reconcile(settings, chosen, hours, dry_run), dry_run)
                return
            made = _statement(settings, chosen, statement.date(), destination)
            _print_json(made) if as_json else _show_statement(made)


def _compare_families(settings: "Settings", shop: str, hours: float) -> None:
    import asyncio

    from orderwire.operation.shopify.families import events_report

    asyncio.run(events_report(settings, shop, hours))


def _reconcile(settings: "Settings", shop: "ShopSettings", hours: float, dry_run: bool) -> "Found":
    from orderwire.operation.shopify.admin_work import rated_progress, with_log
    from orderwire.serve.reconcile.reconciling import Found, Reconciling
    from orderwire.serve.schedule.services import Services
    from orderwire.serve.shops.admin import admin_client
    from orderwire.serve.start.connections import open_store

    store, stop = open_store(settings), threading.Event()
    try:
        client = admin_client(shop, store)

        def work(services: Services) -> Found:
            comparing = Reconciling(
                client, store, shop.domain, services.append, stop, dry_run=dry_run
            )
            with rated_progress("orders", 0) as advance:
                comparing.advance = advance
                return comparing.run(comparing.last(hours))

        found = with_log(settings, store, stop, work)
        client.close()
        return found
    finally:
        store.close()


def _show(found: "Found", dry_run: bool) -> None:
    from ingest.shopify.admin.past.windows import rfc3339
    from orderwire.operation.output import show

    if found.missed:
        rows = [(topic, rfc3339(hour_s), n) for topic, hour_s, n in found.by_topic_and_hour]
        show("Missed by webhook", ("topic", "hour", "orders"), rows)
    if found.history:
        typer.echo(
            f"{found.history:,} orders are older than the shop's first webhook: they count as"
            " history, and no destination is notified"
        )
    brought = "would be brought" if dry_run else "brought"
    typer.echo(
        f"{found.seen:,} orders changed from {rfc3339(found.span.from_s)} to"
        f" {rfc3339(found.span.to_s)}; {len(found.missed):,} were missed by webhook and {brought}"
    )


def _statement(
    settings: "Settings", shop: "ShopSettings", day: date, destination: str
) -> "Statement":
    import asyncio
    import time

    from orderwire.operation.existing import open_existing_log
    from orderwire.operation.refused import Refused
    from orderwire.operation.standing import feeds
    from orderwire.serve.reconcile.statement_day import read_day
    from orderwire.serve.shops.admin import admin_client
    from orderwire.serve.start.connections import open_store
    from query.as_of import as_of
    from query.endpoints.statement import statement, usual_account
    from stream.times import EPOCH

    destination = destination or usual_account(shop.destinations)
    if destination not in shop.destinations:
        raise Refused(f"{shop.domain} has no account {destination}; see [shops.…destinations]")
    store = open_store(settings)
    try:
        client = admin_client(shop, store)
        read_day(client, store, shop.domain, day, shop.zone)
        client.close()

        async def spans() -> dict[str, object]:
            log = await open_existing_log(settings)
            try:
                return {"orders": await log.spans("orders")}
            finally:
                await log.close()

        of = tuple(feed for feed in feeds(settings) if feed.topic == "orders")
        now_ms, number = time.time_ns() // 1_000_000, (day - EPOCH).days
        spans_by_topic = asyncio.run(spans())
        with store.snapshot() as snapshot:
            rests_on = as_of(now_ms, number, of, snapshot.positions(), spans_by_topic)  # type: ignore[arg-type]
            return statement(
                snapshot, shop.domain, number, destination, now_ms, rests_on.lag_records
            )
    finally:
        store.close()


def _print_json(made: "Statement") -> None:
    import msgspec

    typer.echo(msgspec.json.format(msgspec.json.encode(made), indent=2).decode())


def _show_statement(made: "Statement") -> None:
    from orderwire.operation.output import show
    from query.endpoints.statement import Part

    def line(channel: str, what: str, part: Part) -> tuple[str, str, int, str]:
        value = part.value
        return channel, what, part.orders, f"{value['amount']} {value['currency_code']}"

    rows = []
    for item in made.items:
        parts = {
            "shopify": item.shopify,
            "sent": item.sent,
            "maybe accepted": item.maybe_accepted,
            **{f"skipped: {name}": part for name, part in item.skipped.items()},
            "dead": item.dead,
            "waiting": item.waiting,
            "missing": item.missing,
        }
        rows += [line(item.channel, name, part) for name, part in parts.items() if part.orders]
    show(f"{made.day}, {made.destination}", ("channel", "what", "orders", "value"), rows)
    for item in made.items:
        for number in item.missing.ids:
            typer.echo(f"missing: order {number} ({item.channel})")
    typer.echo("exact" if made.exact else f"not exact: {made.reason}")
