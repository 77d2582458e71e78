"""The rows of the demo's panels: a label and a figure each."""

from rich.text import Text

from aggregates.carts.answer.schema import States
from simulator.demo.figures import Aggregates, Figures, money_text
from stream.money import MoneyJson

Row = tuple[str, str | Text]
BAR = 14
SEGMENTS = 5
"""Shown by name; the others are added up."""
NAME, COUNT = 19, 12
"""Columns of a segment's name and of its figures."""


def webhooks(now: Figures) -> list[Row]:
    """What the shop sent and how the receiver answered."""
    shown = now.aggregates
    other = sum(count for status, count in now.statuses.items() if status not in (200, 400, 401))
    return [
        ("history loaded", f"{now.history:,}"),
        ("acknowledged, live", Text(f"{now.live:,}", "bold green")),
        ("of them sent again", f"{now.repeated:,}"),
        ("bad signature, 401", f"{now.statuses.get(401, 0):,}"),
        ("broken JSON, 400", f"{now.statuses.get(400, 0):,}"),
        ("any other answer", Text(f"{other:,}", "bold red" if other else "")),
        ("parked", "-" if shown is None else f"{parked(shown):,}"),
    ]


def orders(now: Figures) -> list[Row]:
    """What became of the orders: placed = sent + left out + the rest, and live and past sales make
    what Meta received."""
    shown, graph = now.aggregates, now.graph
    wrong = rejected(now) + len(graph.get("conflicts", ()))
    sent, left_out, past = (0, 0, 0)
    if shown is not None:
        sent, left_out, past = shown.sent, shown.left_out, shown.sent_before
    placed = max(now.placed, sent + left_out)
    twice = graph.get("duplicates", 0)
    return [
        ("placed live", Text(f"{placed:,}", "bold green")),
        ("  sent to Meta", f"{sent:,}"),
        ("  on its way", f"{placed - sent - left_out:,}"),
        ("  unpaid or a test", f"{left_out:,}"),
        ("sent of last week", f"{past:,}"),
        ("received by Meta", Text(f"{graph.get('received', 0):,}", "bold green")),
        (
            "  twice / rejected",
            Text(f"{twice:,} / {wrong:,}", "bold red" if twice or wrong else ""),
        ),
    ]


def latency(now: Figures) -> list[Row]:
    """How long it took, what waits, and the commonest reasons for parking."""
    shown = now.aggregates
    p50, p99 = (None, None) if shown is None else shown.to_meta_ms
    reasons = () if shown is None else shown.parked
    behind: str | Text = "-" if shown is None else lag(shown)
    if shown is not None and shown.state != "sending":
        behind = Text(f"{behind}; {shown.state}", "yellow")
    return [
        ("acknowledged p50", Text(ms(now.acked_ms[0]), "bold")),
        ("acknowledged p99", ms(now.acked_ms[1])),
        ("webhook to Meta p50", Text(ms(p50), "bold")),
        ("webhook to Meta p99", ms(p99)),
        ("records behind", behind),
        *((words(reason), f"{count:,}") for reason, count in reasons[:2]),
        *[("", "")] * (2 - len(reasons[:2])),
    ]


def customers(now: Figures, shown: Aggregates, inside: int) -> list[Row]:
    """Segments with a bar as far as `inside` columns have room, and what a customer is worth."""
    most = max((count for _, count in shown.segments), default=0) or 1
    width = max(0, min(BAR, inside - NAME - COUNT - 1))
    bars = [
        (words(name), count, round(width * count / most))
        for name, count in shown.segments[:SEGMENTS]
    ]
    if rest := sum(count for _, count in shown.segments[SEGMENTS:]):
        bars.append((f"{len(shown.segments) - SEGMENTS} others", rest, 0))
    rows: list[Row] = [
        (
            name,
            Text.assemble(
                (f"{'█' * bar:<{width}}", "cyan"),
                f" {count:>6,} {count / max(shown.customers, 1):4.0%}",
            ),
        )
        for name, count, bar in bars
    ]
    return [
        *(rows or [("none yet", "")]),
        ("predicted LTV", Text(now.predicted_ltv, "bold")),
    ]


def carts(shown: Aggregates) -> list[Row]:
    """Checkouts by state, and what the open ones are expected to bring."""
    states, potential = shown.carts.states, shown.carts.recovery_potential
    return [
        ("active / abandoned", f"{states.active.carts:,} / {states.abandoned.carts:,}"),
        ("completed / recovered", f"{states.completed.carts:,} / {_recovered(states):,}"),
        ("recovery potential", money_text(potential.expected)),
    ]


def budgets(shown: Aggregates, *, joined: bool) -> list[Row]:
    """Spend and advice; `joined` puts spend and ROAS in one row. Advice is compared with today's
    budgets of the campaigns that have some."""
    total, campaigns = shown.budget.total, shown.budget.campaigns
    advised = [each for each in campaigns if each.recommended_budget is not None]
    now = sum(_units(each.current_budget) for each in advised)
    then = sum(_units(each.recommended_budget) for each in advised)
    spend, roas = money_text(total.spend), number(total.roas)
    advice = f"{now:,.0f} / {then:,.0f} ({len(advised)} of {len(campaigns)})"
    rows: list[Row] = (
        [("spend / ROAS", f"{spend} / {roas}")] if joined else [("spend", spend), ("ROAS", roas)]
    )
    return [*rows, ("a day: now / advised", advice if advised else "none yet")]


def rejected(now: Figures) -> int:
    """Events that Meta's stand-in refused."""
    return sum(now.graph.get("rejected", {}).values())


def parked(shown: Aggregates) -> int:
    """Records put aside, over all reasons."""
    return sum(count for _, count in shown.parked)


def lag(shown: Aggregates) -> str:
    """Records not folded yet."""
    return "not known" if shown.lag is None else f"{shown.lag:,}"


def ms(value: float | None) -> str:
    """A latency with its unit."""
    if value is None:
        return "-"
    return (
        f"{value:.1f} ms"
        if value < 100
        else f"{value:,.0f} ms"
        if value < 10_000
        else f"{value / 1000:,.0f} s"
    )


def number(value: float | None) -> str:
    """Two digits after the point."""
    return "-" if value is None else f"{value:.2f}"


def words(name: str) -> str:
    """A name of the API, as words."""
    return name.replace("_", " ")


def _recovered(states: States) -> int:
    return states.recovered_direct.carts + states.recovered_assisted.carts


def _units(value: MoneyJson | None) -> float:
    return 0.0 if value is None else float(value["amount"])
