"""`orderwire demo`."""

import asyncio
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command(epilog="Example: `orderwire demo --orders 500 --rate 100`")
    def demo(
        orders: Annotated[
            int | None,
            typer.Option(
                min=1, help="End after so many live orders and check everything; exit 0 or 1."
            ),
        ] = None,
        rate: Annotated[
            float, typer.Option(min=0.1, help="Webhooks a second, once history is loaded.")
        ] = 20.0,
        kafka: Annotated[
            bool,
            typer.Option(
                "--kafka", help="On a real Kafka broker and PostgreSQL, started for the occasion."
            ),
        ] = False,
        trouble: Annotated[
            float,
            typer.Option(
                min=0, max=1, help="Share of the requests to Meta's stand-in that go wrong."
            ),
        ] = 0.0,
        customers: Annotated[int, typer.Option(min=1, help="Customers with a past.")] = 1200,
        seed: Annotated[int, typer.Option(min=0, help="Another seed, another shop.")] = 1,
        receiver_port: Annotated[
            int | None,
            typer.Option(min=1, max=65_535, help="Of the receiver; a free one where left out."),
        ] = None,
        api_port: Annotated[
            int | None,
            typer.Option(
                min=1, max=65_535, help="Of API and dashboard; a free one where left out."
            ),
        ] = None,
        patience: Annotated[
            float,
            typer.Option(min=1, help="Seconds without progress before --orders stops waiting."),
        ] = 30.0,
        keep: Annotated[bool, typer.Option("--keep", help="Keep the data folder.")] = False,
    ) -> None:
        """Run everything on this machine, with a simulated shop and a stand-in for Meta, until
        Ctrl-C."""
        from rich.console import Console

        from simulator.demo.run import Demo, DemoOptions
        from simulator.demo.stage import NotReady
        from simulator.servers.children import Died
        from simulator.servers.missing import Missing
        from stream.log.contract import LogError
        from stream.store.contract import StoreError

        for option, port in (("--receiver-port", receiver_port), ("--api-port", api_port)):
            if port is not None and _taken(port):
                raise typer.BadParameter(
                    f"port {port} is taken; choose another, or leave the option out for a free one",
                    param_hint=option,
                )
        options = DemoOptions(
            rate=rate,
            orders=orders,
            customers=customers,
            seed=seed,
            kafka=kafka,
            receiver_port=receiver_port,
            api_port=api_port,
            trouble=trouble,
            patience_s=patience,
        )
        folder = Path(tempfile.mkdtemp(prefix="orderwire-demo-"))
        code = 1
        try:
            code = asyncio.run(Demo(options, folder, Console()).run())
        except Died as error:
            end = f"the end of {error.output}:\n{error.tail()}"
            print(f"orderwire demo: {error}; {end}", file=sys.stderr)  # noqa: T201
        except Missing as error:
            step = "Then try again, or run `orderwire demo` without --kafka."
            print(f"orderwire demo: {error}. {step}", file=sys.stderr)  # noqa: T201
        except (NotReady, LogError, StoreError) as error:
            print(f"orderwire demo: {error}; the logs may say why", file=sys.stderr)  # noqa: T201
        finally:
            if keep or (code and (folder / "serve.log").exists()):
                print(f"data and logs are kept in {folder}", file=sys.stderr)  # noqa: T201
            else:
                shutil.rmtree(folder, ignore_errors=True)
        raise typer.Exit(code)


def _taken(port: int) -> bool:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False
