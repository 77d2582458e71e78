"""`orderwire pixel`: the custom pixel of a shop, filled in, for pasting into Shopify's admin."""

from typing import Annotated

import typer

EXAMPLE = (
    "Example: `orderwire pixel --shop your-shop.myshopify.com --url https://orders.example.com`"
)
HOW = """\
Paste it in Shopify's admin: Settings > Customer events > Add custom pixel.
Customer privacy: permission "Not required" (it obeys the visitor's choices itself, and says no
  where they said no), data sale "Data collected qualifies as data sale". Then Save, and Connect."""


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog=EXAMPLE)
    def pixel(
        url: Annotated[
            str, typer.Option(help="The receiver's public address, as browsers reach it.")
        ],
        shop: Annotated[str, typer.Option(help="Which shop, where several are set.")] = "",
    ) -> None:
        """Print the custom pixel that reports what only the browser knows.

        It posts click ids, Meta's cookies, user agent and privacy choices at checkout. A Purchase
        that Shopify has signed is completed with them; they never make or change one.
        """
        from ingest.pixel.script import script
        from orderwire.operation.output import Refused, exit_on_failure
        from orderwire.settings.program import Settings
        from orderwire.settings.sources import shop_domain

        with exit_on_failure("pixel"):
            shops = Settings.load().shops
            domain = shop_domain(shop) if shop else next(iter(shops), "")
            if domain not in shops or (not shop and len(shops) != 1):
                raise Refused(
                    f"say which shop with --shop; configured: {', '.join(sorted(shops)) or 'none'}"
                )
            if not shops[domain].destinations:
                typer.echo(f"note: {domain} sends nothing to Meta yet (META_PIXEL_ID)", err=True)
            try:
                text = script(domain, url)
            except ValueError as error:
                raise Refused(f"--url: {error}") from None
            typer.echo(text)
            typer.echo(HOW, err=True)
