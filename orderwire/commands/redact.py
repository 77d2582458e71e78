"""`orderwire redact`: erases a person, an order's person or everybody of a shop by hand."""

import asyncio
import json
import time
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from orderwire.settings.program import Settings
    from processors.privacy.request import PrivacyRequest
    from stream.store.contract import Store

EXAMPLE = "Example: `orderwire redact --shop your-shop.myshopify.com --customer 7123456789`"


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog=EXAMPLE)
    def redact(
        shop: Annotated[str, typer.Option(help="The shop's domain.")],
        customer: Annotated[str, typer.Option(help="A customer's id.")] = "",
        order: Annotated[str, typer.Option(help="An order's id: its buyer.")] = "",
        everybody: Annotated[
            bool, typer.Option("--all", help="Everybody of the shop, as shop/redact does.")
        ] = False,
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Show what would be erased, and erase nothing.")
        ] = False,
    ) -> None:
        """Erase personal data: what Shopify's customers/redact and shop/redact do by themselves.

        Orders keep counting under an anonymous key. May be stopped and given again at any time, and
        runs beside `orderwire serve`. On Kafka bodies go with their retention, 30 days at most.
        """
        from orderwire.operation.existing import open_existing_store
        from orderwire.operation.output import Refused, exit_on_failure
        from orderwire.settings.program import Settings
        from orderwire.settings.sources import shop_domain

        with exit_on_failure("redact"):
            if (bool(customer) + bool(order) + everybody) != 1:
                raise Refused("give one of --customer ID, --order ID and --all")
            settings, domain = Settings.load(), shop_domain(shop)
            store = open_existing_store(settings)
            try:
                asked = _request(domain, customer, order, everybody=everybody)
                if dry_run:
                    _show(store, asked)
                else:
                    asyncio.run(_redact(settings, store, asked))
            finally:
                store.close()


def _request(shop: str, customer: str, order: str, *, everybody: bool) -> "PrivacyRequest":
    from orderwire.operation.refused import Refused
    from processors.privacy.request import PrivacyRequest
    from processors.privacy.rows import CUSTOMER, SHOP
    from processors.shopify.tolerance import identifier

    now_ms = time.time_ns() // 1_000_000
    if everybody:
        return PrivacyRequest(shop, f"by-hand-{now_ms}", SHOP, now_ms)
    found = identifier(customer or order)
    if found is None:
        raise Refused("an id is digits, as Shopify's admin shows it in the address")
    request = PrivacyRequest(shop, f"by-hand-{now_ms}", CUSTOMER, now_ms)
    return request._replace(
        customers=(found,) if customer else (), orders=(found,) if order else ()
    )


def _show(store: "Store", asked: "PrivacyRequest") -> None:
    from orderwire.operation.output import show
    from processors.privacy.finding import counted, found
    from processors.privacy.processor import subject_of_request

    with store.snapshot() as snapshot:
        subject = found(snapshot, asked.shop, subject_of_request(asked, "00"))
        rows = list(counted(snapshot, asked.shop, subject).items())
    show("Would be erased in the store", ("table", "rows"), rows)
    typer.echo("Records of the log are looked for when it is done.")


async def _redact(settings: "Settings", store: "Store", asked: "PrivacyRequest") -> None:
    import secrets

    from orderwire.operation.refused import Refused
    from orderwire.serve.upkeep.redacting import Redacting
    from processors.privacy.processor import note

    with store.begin() as transaction:
        note(transaction, [asked], lambda: secrets.token_hex(16))
    left = await asyncio.to_thread(Redacting(settings, store).work, asked.shop)
    with store.snapshot() as snapshot:
        (row,) = snapshot.query(
            "SELECT state, counts FROM redaction WHERE shop = :shop AND id = :id",
            shop=asked.shop,
            id=asked.id,
        )
    for what, rows in json.loads(row.counts).items():
        typer.echo(f"erased: {rows} {what}")
    if any(each.id == asked.id for each in left):
        raise Refused(
            "the store is done; records of the log that no processor has read yet are erased by"
            " `orderwire serve` once they are read"
        )
    typer.echo(f"done; evidence: redaction {asked.id} of {asked.shop}")
