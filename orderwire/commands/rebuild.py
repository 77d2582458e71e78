"""`orderwire rebuild`: recomputes an aggregate's stored numbers from the stored facts.

The manifests name the aggregates; no list of them is written here.
"""

import time
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from processors.engine.projection import Projection
    from processors.engine.rebuild import Pending
    from stream.store.contract import Store

EXAMPLE = "Example: `orderwire rebuild rfm --shop your-shop.myshopify.com`"
ALL = "all"
BUSY_S = 0.2


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog=EXAMPLE)
    def rebuild(
        name: Annotated[
            str,
            typer.Argument(
                help="An aggregate, or `all`. Without a name the command lists them.",
                autocompletion=_completed,
            ),
        ] = "",
        shop: Annotated[str, typer.Option(help="Only this shop; else every shop.")] = "",
    ) -> None:
        """Count an aggregate anew from the stored facts, beside whatever runs.

        Answers stay as they are until the new numbers are complete. Stopped half-way, it goes on
        where it was as soon as `orderwire serve` runs or this command is given again.
        """
        from orderwire.operation.existing import open_existing_store
        from orderwire.operation.output import Refused, exit_on_failure
        from orderwire.serve.registry import projections
        from orderwire.settings.program import Settings
        from orderwire.settings.sources import shop_domain

        with exit_on_failure("rebuild"):
            settings = Settings.load()
            known = projections(settings)
            if not name:
                typer.echo("\n".join((*known, ALL)))
                return
            if name not in (*known, ALL):
                raise Refused(f"{name!r} is no aggregate: write {', '.join(known)} or {ALL}")
            chosen = list(known.values()) if name == ALL else [known[name]]
            store = open_existing_store(settings)
            try:
                rebuilt = _rebuild(store, chosen, shop_domain(shop) if shop else "")
            finally:
                store.close()
            if not rebuilt:
                raise Refused("nothing is stored of that shop yet; see `orderwire status`")
            for each in chosen:
                shops = sum(one.name == each.name for one in rebuilt)
                if shops:
                    typer.echo(f"{each.name}: counted anew for {shops:,} shop{'s'[: shops != 1]}")


def _completed(begun: str) -> list[str]:
    """Names for the shell's completion."""
    from aggregates.manifest import FoldSettings
    from aggregates.registry import projections

    return [name for name in (*projections(FoldSettings()), ALL) if name.startswith(begun)]


def _rebuild(store: "Store", chosen: "list[Projection]", shop: str) -> "list[Pending]":
    import stamina

    from orderwire.operation.output import Refused, progress
    from processors.engine.rebuild import counted, request_all, run
    from stream.store.contract import StoreError, StoreUnavailable

    known = {projection.name: projection for projection in chosen}
    # A fold or another rebuilder may have the lock: nothing to report.
    stamina.instrumentation.set_on_retry_hooks([])
    patient = stamina.RetryingCaller(
        attempts=None, timeout=None, wait_initial=BUSY_S, wait_max=BUSY_S, wait_jitter=0
    )

    def step(each: "Pending") -> bool:
        try:
            return run(store, known[each.name], each.shop, time.time_ns() // 1_000_000)
        except StoreError:
            raise
        except Exception as error:  # A bug of ours.
            raise Refused(
                f"{each.name} of {each.shop} cannot be counted: its formula failed:"
                f" {type(error).__name__}; upgrade orderwire, `orderwire serve` then counts it anew"
            ) from error

    wanted = request_all(store, chosen, shop, time.time_ns() // 1_000_000)
    for each, entities in wanted.items():
        with progress(f"{each.name} of {each.shop}") as advance:
            while patient(StoreUnavailable, step, each):
                advance(counted(store, each), entities)
            advance(counted(store, each), entities)
    return [*wanted]
