"""`python -m simulator.chaos`, which `make chaos` runs."""

import asyncio
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from simulator.chaos.hostile import Options as HostileOptions
from simulator.chaos.hostile import hostile
from simulator.chaos.plan import Pair
from simulator.chaos.quiet import Stuck
from simulator.chaos.run import Options, chaos
from simulator.servers.missing import Missing


def main(
    minutes: Annotated[
        float | None, typer.Option(min=0.1, help="How long faults happen; default: 2.")
    ] = None,
    seed: Annotated[
        list[int] | None,
        typer.Option(
            min=0,
            help="The same seed draws the same faults; default: 1. Several share the time, one"
            " after the other.",
        ),
    ] = None,
    pair: Annotated[Pair, typer.Option(help="Log and store.")] = Pair.SQLITE,
    rate: Annotated[
        float | None, typer.Option(min=1, help="Deliveries a second; default: 30.")
    ] = None,
    patience: Annotated[
        float, typer.Option(min=1, help="Seconds without progress before the end is given up.")
    ] = 240.0,
    attacked: Annotated[
        bool,
        typer.Option("--hostile", help="Hostile clients instead of faults; default: 5 min, 50/s."),
    ] = False,
    connections: Annotated[
        int, typer.Option(min=200, help="With --hostile: of the hostile clients.")
    ] = 3_000,
    p99_ms: Annotated[
        float, typer.Option(min=1, help="With --hostile: what the shop's p99 may be.")
    ] = 500.0,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the data folder.")] = False,
) -> None:
    """Kill, stop, fill, cut and step a real `serve` at random while two shops sell, then prove that
    nothing was lost and nothing doubled. Exit code 1 where something was."""
    seeds = tuple(seed or [1])
    if attacked:
        run = partial(
            hostile,
            HostileOptions(
                minutes or 5.0, seeds[0], pair, rate or 50.0, connections, p99_ms, patience
            ),
        )
    else:
        run = partial(chaos, Options(minutes or 2.0, seeds, pair, rate or 30.0, patience))
    folder = Path(tempfile.mkdtemp(prefix="orderwire-chaos-"))
    code = 1
    try:
        code = asyncio.run(run(folder, Console()))
    except (Missing, Stuck) as error:
        print(f"chaos: {error}", file=sys.stderr)  # noqa: T201
    finally:
        if keep or code:
            print(f"what serve wrote is kept in {folder}", file=sys.stderr)  # noqa: T201
        else:
            shutil.rmtree(folder, ignore_errors=True)
    raise typer.Exit(code)


if __name__ == "__main__":
    typer.run(main)
