"""The demo's display: a screenful drawn every second on a terminal, elsewhere a line now and then.

From 100 columns on it has 19 lines and fits below the commands in 30; panels stand in two columns
below 100 and in one below 76. What is too tall leaves out whole panels from the end.
"""

import sys
import termios
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from simulator.demo import panels
from simulator.demo.figures import Figures
from simulator.demo.introduction import WIDE
from simulator.demo.panels import Row
from simulator.proof.verify import Check

TWO_COLUMNS = 76
LINES = 19
"""Of the screenful from 100 columns on."""
FRAME = 2
"""Lines of a panel that are no rows."""
INSIDE = 4
"""Columns of a panel that are no text."""


class Place(NamedTuple):
    """Where the screenful is drawn, and what its head says beside the phase."""

    width: int
    height: int
    dashboard: str
    ending: str
    """What ends the demo."""
    commands: str = ""
    """How to see the commands again, where they have scrolled away."""


def screen(now: Figures, place: Place) -> RenderableType:
    """The screenful."""
    head = [f"dashboard {place.dashboard}", place.ending]
    lines = [
        Text.assemble(
            " ", (clock(now.elapsed_s), "bold"), f"  {now.phase}", (f"   {head[0]}", "cyan")
        )
    ]
    if place.width >= WIDE:
        lines[0].append(f"   {head[1]}", "dim")
    else:
        lines.append(Text(f" {head[1]}", "dim"))
    if place.commands:
        lines.append(Text(f" {place.commands}", "dim", overflow="fold"))
    above = sum(-(-line.cell_len // place.width) for line in lines)
    drawn, left_out = _fitting(_rows(now, place.width), place.height - above)
    if left_out:
        lines.append(Text(f" in a taller terminal: {', '.join(left_out)}", "dim"))
    return Group(*lines, *drawn)


class _Band(NamedTuple):
    """Panels side by side."""

    drawn: RenderableType
    height: int
    titles: tuple[str, ...]


def _rows(now: Figures, width: int) -> list[_Band]:
    shown = now.aggregates
    webhooks = ("webhooks", panels.webhooks(now))
    orders = ("orders, to Meta (a stand-in)", panels.orders(now))
    latency = ("latency; parked, by reason", panels.latency(now))
    if shown is None:
        return _bands([webhooks, orders, latency], _columns(width))
    inside = (width // 2 if width >= TWO_COLUMNS else width) - INSIDE
    customers = (
        f"RFM: {shown.customers:,} customers, {shown.orders:,} orders",
        panels.customers(now, shown, inside),
    )
    carts = ("carts", panels.carts(shown))
    budgets = ("ad budgets, 30 days", panels.budgets(shown, joined=width >= WIDE))
    if width < WIDE:
        return _bands([webhooks, orders, latency, customers, carts, budgets], _columns(width))
    beside = Group(_panel(*carts), _panel(*budgets))
    tall = max(len(customers[1]) + FRAME, len(carts[1]) + len(budgets[1]) + 2 * FRAME)
    return [
        *_bands([webhooks, orders, latency], 3),
        _Band(_beside(_panel(*customers), beside), tall, ("customers", "carts", "ad budgets")),
    ]


def _columns(width: int) -> int:
    return 3 if width >= WIDE else 2 if width >= TWO_COLUMNS else 1


def _bands(parts: Sequence[tuple[str, list[Row]]], columns: int) -> list[_Band]:
    bands = []
    for first in range(0, len(parts), columns):
        beside = parts[first : first + columns]
        bands.append(
            _Band(
                _beside(*(_panel(*part) for part in beside)),
                max(len(rows) for _, rows in beside) + FRAME,
                tuple(title.partition(",")[0].partition(":")[0] for title, _ in beside),
            )
        )
    return bands


def _fitting(bands: Sequence[_Band], height: int) -> tuple[list[RenderableType], list[str]]:
    """The bands that fit, at least the first; and the titles of the others, which take a line."""
    if sum(band.height for band in bands) <= height:
        return [band.drawn for band in bands], []
    drawn: list[RenderableType] = []
    used = 1
    for place, band in enumerate(bands):
        used += band.height
        if used > height and place:
            return drawn, [title for late in bands[place:] for title in late.titles]
        drawn.append(band.drawn)
    return drawn, []


def line(now: Figures) -> str:
    """The same in one line."""
    refused = sum(count for status, count in now.statuses.items() if status != 200)
    parts = [
        (
            f"{clock(now.elapsed_s)} {now.phase}: {now.history + now.live:,} acknowledged "
            f"({now.repeated:,} of them again), {refused:,} refused"
        ),
        (
            f"Meta: {now.graph.get('received', 0):,} received, {panels.rejected(now):,} rejected, "
            f"{now.graph.get('duplicates', 0):,} duplicates"
        ),
        f"ack p50 {panels.ms(now.acked_ms[0])}, p99 {panels.ms(now.acked_ms[1])}",
    ]
    shown = now.aggregates
    if shown is not None:
        parts += [
            (
                f"webhook to Meta p50 {panels.ms(shown.to_meta_ms[0])}, "
                f"p99 {panels.ms(shown.to_meta_ms[1])}"
            ),
            "RFM: "
            + (
                ", ".join(f"{count:,} {panels.words(name)}" for name, count in shown.segments[:3])
                or "none yet"
            ),
            f"carts: {shown.carts.states.abandoned.carts:,} abandoned",
            f"ROAS {panels.number(shown.budget.total.roas)}",
            f"{panels.parked(shown):,} parked",
            f"lag {panels.lag(shown)}",
        ]
    return "; ".join(parts)


def result(checks: Iterable[Check]) -> Table:
    """The table at the end of `--orders N`."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("checked", no_wrap=True)
    table.add_column("cases", justify="right")
    table.add_column("result")
    for check in checks:
        shown = (
            Text("\n".join(check.differences), "red") if check.differences else Text("ok", "green")
        )
        table.add_row(check.name, f"{check.cases:,}", shown)
    return table


def print_plain(console: Console, text: str) -> None:
    """Print without markup or wrapping, so that a command can be copied."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def no_echo() -> Iterator[None]:
    """Turn off the terminal's echo: typed characters, Ctrl-C's `^C` too, would appear in the
    screenful."""
    if not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    quiet = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def clock(seconds: float) -> str:
    """`83` -> `01:23`."""
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"


def _panel(title: str, rows: Sequence[Row]) -> Panel:
    table = Table.grid(expand=True)
    table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_column(justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return Panel(
        table, title=title, title_align="left", box=box.ROUNDED, border_style="dim", padding=(0, 1)
    )


def _beside(*parts: RenderableType) -> Table:
    table = Table.grid(expand=True)
    for _ in parts:
        table.add_column(ratio=1)
    table.add_row(*parts)
    return table
