"""Output of commands: tables on a terminal and plain lines elsewhere; errors as one line on
standard error that says what to do next."""

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import structlog
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ingest.shopify.admin.errors import AdminError
from orderwire.operation.existing import NothingThere
from orderwire.operation.refused import Refused as Refused
from orderwire.settings.program import ConfigurationError
from stream.log.contract import LogError
from stream.store.contract import StoreError


@contextmanager
def exit_on_failure(command: str) -> Iterator[None]:
    """Expected errors end the command with exit code 1 and a message, without a traceback."""
    log_to_stderr()
    try:
        yield
    except (
        ConfigurationError,
        NothingThere,
        LogError,
        StoreError,
        AdminError,
        Refused,
    ) as error:
        typer.echo(f"orderwire {command}: {error}", err=True)
        raise typer.Exit(1) from None


def log_to_stderr() -> None:
    """Log to standard error; structlog's default would print on standard output, which is for the
    answer."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    if not structlog.is_configured():
        structlog.configure(
            logger_factory=structlog.stdlib.LoggerFactory(), cache_logger_on_first_use=False
        )


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Gives a function to call with (done, of how many); it draws on standard error where that is a
    terminal."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    ) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on standard output: drawn on a terminal, elsewhere `title` and the rows as aligned
    columns, one line each."""
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        table = Table(title=title, title_justify="left", header_style="bold")
        for name in header:
            table.add_column(name, overflow="fold")
        for row in texts:
            table.add_row(*row)
        Console().print(table)
        return
    widths = [max(len(cell) for cell in column) for column in zip(header, *texts, strict=True)]
    typer.echo(title)
    for row in [list(header), *texts]:
        typer.echo(
            "  "
            + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
