"""`orderwire backfill`: a shop's past orders, from the Admin API or from a file."""

import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ingest.shopify.admin.past.backfill import Plan
    from orderwire.settings.program import Settings, ShopSettings

EXAMPLES = (
    "Examples: `orderwire backfill --days 365`,"
    " `orderwire backfill --shop your-shop.myshopify.com --days 730 --bulk`,"
    " `orderwire backfill --file orders_export.csv`"
)


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog=EXAMPLES)
    def backfill(
        shop: Annotated[str, typer.Option(help="Which shop, where there are several.")] = "",
        days: Annotated[int, typer.Option(min=1, max=3650, help="How far back.")] = 365,
        bulk: Annotated[
            bool | None,
            typer.Option(
                "--bulk/--paged",
                help="By bulk operations, or page by page; else by how many orders there are.",
            ),
        ] = None,
        file: Annotated[
            Path | None,
            typer.Option(
                help="Instead: Shopify's order export, .csv, or .jsonl with an order a line."
            ),
        ] = None,
        partial: Annotated[
            bool, typer.Option("--partial", help="With --file: take the good orders of it.")
        ] = False,
        again: Annotated[
            bool, typer.Option("--again", help="Read once more what was read before.")
        ] = False,
    ) -> None:
        """Read a shop's past orders and count them, as history: no destination is notified.

        The newest weeks come first. Stopped or killed at any moment, the same command goes on where
        it was; days that were read before are not read again. `orderwire serve` counts what is read
        while this goes on, or when it is started.

        The token needs read_orders; read_all_orders for orders older than 60 days, read_customers
        for repeat buyers, read_products for what was bought.

        **--file** takes the CSV of the admin's Orders > Export, for a shop without an Admin API. It
        names no customer: repeat buyers are known by their e-mail address.
        """
        from orderwire.operation.one_shop import one_shop
        from orderwire.operation.output import exit_on_failure
        from orderwire.settings.program import Settings

        with exit_on_failure("backfill"):
            settings = Settings.load()
            if file is not None:
                _from_file(settings, one_shop(settings, shop), file, partial)
                return
            _from_api(settings, one_shop(settings, shop), days, bulk, again)


def _from_api(
    settings: "Settings", shop: "ShopSettings", days: int, bulk: bool | None, again: bool
) -> None:
    from ingest.shopify.admin.past.backfill import Backfill, Filled
    from ingest.shopify.admin.past.progress import CHECKOUTS, ORDERS, Progress
    from orderwire.operation.shopify.admin_work import rated_progress, with_log
    from orderwire.operation.shopify.known_carts import known_carts
    from orderwire.serve.schedule.services import Services
    from orderwire.serve.shops.admin import admin_client
    from orderwire.serve.start.connections import open_store

    store = open_store(settings)
    stop = threading.Event()
    try:
        client = admin_client(shop, store)
        progress = Progress(store, shop.domain)

        def work(services: Services) -> Filled:
            if again:
                progress.forget(ORDERS)
                progress.forget(CHECKOUTS)
            filling = Backfill(client, store, shop.domain, services.append, stop)
            plan = filling.plan(days, by_bulk=bulk)
            _say(plan, days)
            done = sum(window.appended for window in progress.windows(ORDERS))
            filling.known_carts = partial(known_carts, store, shop.domain)
            with rated_progress("orders", plan.expected, done) as advance:
                filling.advance = advance
                return filling.run(plan)

        filled = with_log(settings, store, stop, work)
        client.close()
    finally:
        store.close()
    if filled.denied:
        typer.echo(f"no checkouts: {filled.denied}", err=True)
    typer.echo(
        f"{filled.orders:,} orders and {filled.checkouts:,} abandoned checkouts read"
        if filled.windows
        else "these days were read before; --again reads them once more"
    )


def _say(plan: "Plan", days: int) -> None:
    from ingest.shopify.admin.access import LOST

    how = "bulk operations" if plan.bulk else "pages"
    typer.echo(f"about {plan.expected:,} orders of {days} days, by {how}", err=True)
    for scope in plan.access.missing:
        typer.echo(f"without {scope} {LOST[scope]}", err=True)
    if not plan.access.personal:
        typer.echo(
            "without approval of protected customer data guests are not recognised", err=True
        )


def _from_file(settings: "Settings", shop: "ShopSettings", file: Path, partial: bool) -> None:
    from orderwire.operation.refused import Refused
    from orderwire.operation.shopify.admin_work import rated_progress, with_log
    from orderwire.operation.shopify.order_import import SHOWN, look, take
    from orderwire.serve.start.connections import open_store

    found = look(file)
    for bad in found.bad[:SHOWN]:
        typer.echo(f"  line {bad.line}: {bad.reason}", err=True)
    if found.bad and not partial:
        raise Refused(
            f"{len(found.bad)} orders of {file} cannot be read, so none was taken: mend them, or"
            f" take the other {found.orders} with --partial"
        )
    zone = "UTC" if shop.zone is None else shop.zone.key
    store = open_store(settings)
    try:
        with rated_progress("orders", found.orders) as advance:
            taken = with_log(
                settings,
                store,
                threading.Event(),
                lambda services: take(file, shop.domain, zone, services.append, advance),
            )
    finally:
        store.close()
    typer.echo(f"{taken:,} orders read")
