"""The demo's display: a screenful drawn every second on a terminal, elsewhere a line now and then.

Addresses and commands are printed once above it, so that they can be copied. The screenful has 19
lines and fits below them in a terminal of 100 x 30.
"""

import shlex
import sys
import termios
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich import box
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from aggregates.carts.answer.schema import States
from simulator.demo.figures import Aggregates, Figures, money_text
from simulator.demo.stage import SHOP, Ports
from simulator.proof.verify import Check
from simulator.shop.delivery import Delivery
from stream.money import MoneyJson

Row = tuple[str, str | Text]
BAR = 14
SEGMENTS = 6
"""Shown by name; the others are added up."""


def introduction(ports: Ports, example: Delivery, body: Path, log: Path) -> list[str]:
    """Addresses, and commands to try; `example` is an order whose body is in the file `body`."""
    get = f"curl -s {ports.api_url}/v1"
    return [
        f"webhooks to {ports.webhooks}; log of serve: {log}",
        f"dashboard {ports.api_url}/  API {ports.api_url}/docs  Try, in another terminal:",
        f"  {get}/rfm     {get}/carts",
        f"  {get}/budget  {get}/capi",
        f"  {get}/status",
        f"  curl -i {ports.webhooks} -H 'X-Shopify-Topic: {example.topic}' \\",
        f"    -H 'X-Shopify-Shop-Domain: {SHOP}' -H 'X-Shopify-Webhook-Id: my-first-order' \\",
        f"    -H 'X-Shopify-Hmac-Sha256: {example.headers['X-Shopify-Hmac-Sha256']}' \\",
        f"    --data-binary @{shlex.quote(str(body))}",
        f"  {get}/capi/orders/{example.key}   # what became of it",
        f"  cd {shlex.quote(str(log.parent))}",
        f"  {shlex.quote(sys.executable)} -m orderwire reconcile   # or doctor, backfill, …",
    ]


def screen(now: Figures, ending: str) -> RenderableType:
    """The screenful. `ending` says what ends the demo."""
    head = Text.assemble(
        " ", (clock(now.elapsed_s), "bold"), f"  {now.phase}", (f"   {ending}", "dim")
    )
    top = _beside(
        _panel("webhooks", _webhooks(now)),
        _panel("to Meta (a stand-in)", _meta(now)),
        _panel("latency; parked, by reason", _latency(now)),
    )
    shown = now.aggregates
    if shown is None:
        return Group(head, top)
    shop = Group(_panel("carts", _carts(shown)), _panel("ad budgets, 30 days", _budget(shown)))
    customers = _panel(
        f"RFM of {shown.customers:,} customers, {shown.orders:,} orders", _segments(shown)
    )
    return Group(head, top, _beside(customers, shop))


def line(now: Figures) -> str:
    """The same in one line."""
    refused = sum(count for status, count in now.statuses.items() if status != 200)
    parts = [
        (
            f"{clock(now.elapsed_s)} {now.phase}: {now.history + now.live:,} acknowledged, "
            f"{refused:,} refused"
        ),
        (
            f"Meta: {now.graph.get('received', 0):,} received, {_rejected(now):,} rejected, "
            f"{now.graph.get('duplicates', 0):,} duplicates"
        ),
        f"ack p50 {_ms(now.acked_ms[0])}, p99 {_ms(now.acked_ms[1])}",
    ]
    shown = now.aggregates
    if shown is not None:
        parts += [
            f"webhook to Meta p50 {_ms(shown.to_meta_ms[0])}, p99 {_ms(shown.to_meta_ms[1])}",
            "RFM: "
            + (
                ", ".join(f"{count:,} {_words(name)}" for name, count in shown.segments[:3])
                or "none yet"
            ),
            f"carts: {shown.carts.states.abandoned.carts:,} abandoned",
            f"ROAS {_number(shown.budget.total.roas)}",
            f"{_parked(shown):,} parked",
            f"lag {_lag(shown)}",
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


def _webhooks(now: Figures) -> list[Row]:
    shown = now.aggregates
    other = sum(count for status, count in now.statuses.items() if status not in (200, 400, 401))
    return [
        ("history loaded", f"{now.history:,}"),
        ("acknowledged, live", Text(f"{now.live:,}", "bold green")),
        ("orders made live", f"{now.orders:,}"),
        ("bad signature, 401", f"{now.statuses.get(401, 0):,}"),
        ("broken JSON, 400", f"{now.statuses.get(400, 0):,}"),
        ("any other answer", Text(f"{other:,}", "bold red" if other else "")),
        ("parked", "-" if shown is None else f"{_parked(shown):,}"),
    ]


def _meta(now: Figures) -> list[Row]:
    shown, graph = now.aggregates, now.graph
    conflicts, rejected = len(graph.get("conflicts", ())), _rejected(now)
    return [
        ("events received", Text(f"{graph.get('received', 0):,}", "bold green")),
        ("in requests", f"{graph.get('requests', 0):,}"),
        ("rejected", Text(f"{rejected:,}", "bold red" if rejected else "")),
        ("duplicates", f"{graph.get('duplicates', 0):,}"),
        ("contradictions", Text(f"{conflicts:,}", "bold red" if conflicts else "")),
        ("waiting to be sent", "-" if shown is None else f"{shown.waiting:,}"),
        (
            "state",
            "-"
            if shown is None
            else Text(shown.state, "" if shown.state == "sending" else "yellow"),
        ),
    ]


def _latency(now: Figures) -> list[Row]:
    shown = now.aggregates
    p50, p99 = (None, None) if shown is None else shown.to_meta_ms
    reasons = () if shown is None else shown.parked
    return [
        ("acknowledged p50", Text(_ms(now.acked_ms[0]), "bold")),
        ("acknowledged p99", _ms(now.acked_ms[1])),
        ("webhook to Meta p50", Text(_ms(p50), "bold")),
        ("webhook to Meta p99", _ms(p99)),
        ("records behind (lag)", "-" if shown is None else _lag(shown)),
        *((_words(reason), f"{count:,}") for reason, count in reasons[:2]),
        *[("", "")] * (2 - len(reasons[:2])),
    ]


def _segments(shown: Aggregates) -> list[Row]:
    most = max((count for _, count in shown.segments), default=0) or 1
    bars = [
        (_words(name), count, round(BAR * count / most))
        for name, count in shown.segments[:SEGMENTS]
    ]
    if rest := sum(count for _, count in shown.segments[SEGMENTS:]):
        bars.append((f"{len(shown.segments) - SEGMENTS} others", rest, 0))
    return [
        (
            name,
            Text.assemble(
                (f"{'█' * bar:<{BAR}}", "cyan"),
                f" {count:>6,} {count / max(shown.customers, 1):4.0%}",
            ),
        )
        for name, count, bar in bars
    ] or [("none yet", "")]


def _carts(shown: Aggregates) -> list[Row]:
    states, potential = shown.carts.states, shown.carts.recovery_potential
    return [
        ("active / abandoned", f"{states.active.carts:,} / {states.abandoned.carts:,}"),
        ("completed / recovered", f"{states.completed.carts:,} / {_recovered(states):,}"),
        ("recovery potential", money_text(potential.expected)),
    ]


def _budget(shown: Aggregates) -> list[Row]:
    total = shown.budget.total
    return [
        ("spend / ROAS", f"{money_text(total.spend)} / {_number(total.roas)}"),
        (
            "a day: now / advised",
            f"{_amount(total.current_budget)} / {money_text(total.recommended_budget)}",
        ),
    ]


def _recovered(states: States) -> int:
    return states.recovered_direct.carts + states.recovered_assisted.carts


def _rejected(now: Figures) -> int:
    return sum(now.graph.get("rejected", {}).values())


def _parked(shown: Aggregates) -> int:
    return sum(count for _, count in shown.parked)


def _lag(shown: Aggregates) -> str:
    return "not known" if shown.lag is None else f"{shown.lag:,}"


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return (
        f"{value:.1f} ms"
        if value < 100
        else f"{value:,.0f} ms"
        if value < 10_000
        else f"{value / 1000:,.0f} s"
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _amount(value: MoneyJson | None) -> str:
    return money_text(value).partition(" ")[0]


def _words(name: str) -> str:
    return name.replace("_", " ")


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
