"""`orderwire subscribe`: webhooks of a shop, by the Admin API, by an app's toml, or by hand."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from orderwire.operation.shopify.subscribing import Subscribed

EXAMPLES = (
    "Examples: `orderwire subscribe --url https://host/webhooks/shopify --dry-run`,"
    " `orderwire subscribe --url https://host/webhooks/shopify --toml > orderwire.app.toml`"
)


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog=EXAMPLES)
    def subscribe(
        url: Annotated[
            str, typer.Option(help="Where the receiver is reached: https://host/webhooks/shopify.")
        ] = "",
        shop: Annotated[
            str, typer.Option(help="The shop; may be left out where one is configured.")
        ] = "",
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")
        ] = False,
        toml: Annotated[
            bool,
            typer.Option(
                "--toml",
                help="Print what goes into shopify.app.toml: scopes, Shopify Events, privacy.",
            ),
        ] = False,
        by_hand: Annotated[
            bool, typer.Option("--by-hand", help="Print what a merchant without an app does.")
        ] = False,
        remove: Annotated[
            bool, typer.Option("--remove", help="Delete the subscriptions of this address.")
        ] = False,
    ) -> None:
        """Subscribe the shop's webhooks, so that what exists is what orderwire reads.

        Creates what is missing, mends what is not as wanted, and deletes what is not used, of this
        address only. Given again, it changes nothing. `orderwire serve` looks every few minutes,
        restores what Shopify removed, and raises an alarm where a topic falls silent.

        Privacy topics and Shopify Events are set in an app's shopify.app.toml only (--toml). A
        merchant without an app fills in forms (--by-hand).
        """
        from orderwire.operation.output import exit_on_failure

        with exit_on_failure("subscribe"):
            _run(url, shop, dry_run=dry_run, toml=toml, by_hand=by_hand, remove=remove)


def _run(url: str, shop: str, *, dry_run: bool, toml: bool, by_hand: bool, remove: bool) -> None:
    import time

    from ingest.shopify.admin.app_toml import app_toml
    from ingest.shopify.admin.by_hand import by_hand as steps
    from orderwire.operation.one_shop import one_shop
    from orderwire.operation.refused import Refused
    from orderwire.operation.shopify import subscribing
    from orderwire.operation.shopify.wanted_subscriptions import wanted
    from orderwire.serve.shops.admin import admin_client
    from orderwire.serve.start.connections import open_store
    from orderwire.settings.program import Settings

    chosen = one_shop(Settings.load(), shop)
    if not url:
        raise Refused("say where the receiver is reached: --url https://your-host/webhooks/shopify")
    uri = subscribing.checked(url)
    if toml or by_hand:
        text = app_toml(uri, chosen.api_version) if toml else steps(uri, chosen.api_version)
        typer.echo(text, nl=False)
        return
    if not chosen.has_admin_api:
        typer.echo(steps(uri, chosen.api_version))
        raise Refused(
            f"no Admin API is set for {chosen.domain}, so nothing was subscribed: make the webhooks"
            " by hand as above, or set SHOPIFY_ADMIN_TOKEN, or SHOPIFY_CLIENT_ID and"
            " SHOPIFY_CLIENT_SECRET"
        )
    store = open_store(Settings.load())
    try:
        client = admin_client(chosen, store)
        try:
            done = subscribing.subscribe(
                client, () if remove else wanted(chosen), uri, dry_run=dry_run
            )
        finally:
            client.close()
        if not dry_run:
            with store.begin() as transaction:
                if remove:
                    subscribing.forget(transaction, chosen.domain)
                else:
                    subscribing.keep(transaction, chosen.domain, uri, int(time.time() * 1000))
    finally:
        store.close()
    _show(chosen.domain, uri, done, dry_run=dry_run)
    if not remove and (warning := subscribing.secret_warning(chosen)):
        typer.echo(warning)
    if done.problems:
        raise Refused(f"{len(done.problems)} subscriptions could not be changed")


def _show(shop: str, uri: str, done: "Subscribed", *, dry_run: bool) -> None:
    from orderwire.operation.output import show
    from orderwire.operation.shopify.wanted_subscriptions import topic_name

    refused = {problem.change: problem.message for problem in done.problems}
    if done.changes:
        show(
            f"Subscriptions of {shop} to {uri}",
            ("what", "topic", "why", ""),
            [
                (
                    f"would {change.action}" if dry_run else change.action,
                    topic_name(change.topic),
                    change.why,
                    refused.get(change, "" if dry_run else "done"),
                )
                for change in done.changes
            ],
        )
    else:
        typer.echo(f"The subscriptions of {shop} to {uri} are as they should be.")
    if done.elsewhere:
        others = sorted({each.uri for each in done.elsewhere})
        typer.echo(
            f"{len(done.elsewhere)} subscriptions of other addresses are left as they are:"
            f" {', '.join(others[:5])}"
        )
    typer.echo(
        "Privacy topics and Shopify Events are set in the app's shopify.app.toml: add --toml."
    )
