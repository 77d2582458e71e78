"""`orderwire token`: prints an access token of a shop's Admin API."""

from typing import Annotated

import typer

EXAMPLE = "Example: `orderwire token --shop your-shop.myshopify.com`"


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog=EXAMPLE)
    def token(
        shop: Annotated[
            str, typer.Option(help="The shop; may be left out where one is configured.")
        ] = "",
    ) -> None:
        """Print a token of the Admin API that is good now, and nothing else.

        It is the one that `orderwire` itself uses: given (SHOPIFY_ADMIN_TOKEN), asked for
        (SHOPIFY_CLIENT_ID, SHOPIFY_CLIENT_SECRET), or refreshed (SHOPIFY_REFRESH_TOKEN as well).
        It is a secret: whoever has it may read the shop's orders.
        """
        from orderwire.operation.one_shop import one_shop
        from orderwire.operation.output import exit_on_failure
        from orderwire.serve.shops.admin import admin_tokens
        from orderwire.serve.start.connections import open_store
        from orderwire.settings.program import Settings

        with exit_on_failure("token"):
            settings = Settings.load()
            store = open_store(settings)
            try:
                typer.echo(admin_tokens(one_shop(settings, shop), store).token())
            finally:
                store.close()
