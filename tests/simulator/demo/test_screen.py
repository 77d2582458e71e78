"""The demo's screenful fits into terminals of every width, and its orders add up."""

import os
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from aggregates.budget.answer.overview import BudgetSettings, budget
from aggregates.carts.answer.overview import CartSettings, carts
from simulator.demo import panels, screen
from simulator.demo.figures import Aggregates, Figures, predicted_ltv_text
from stream.record import Entry
from stream.store.sql.store import SqlStore
from tests.support.shops.folded_shop import NOW, SHOP

DASHBOARD = "http://127.0.0.1:65535/"


def figures(store: SqlStore) -> Figures:
    with store.snapshot() as snapshot:
        aggregates = Aggregates(
            lag=0,
            sent=97_000,
            left_out=2_000,
            sent_before=1_000,
            state="sending",
            to_meta_ms=(8.0, 120_000.0),
            customers=1_000_000,
            orders=2_000_000,
            segments=tuple((f"segment_{n}", 100_000 - n) for n in range(11)),
            carts=carts(snapshot, SHOP, int(NOW.timestamp() * 1000), CartSettings()),
            budget=budget(
                snapshot,
                SHOP,
                (NOW.date() - datetime(1970, 1, 1, tzinfo=UTC).date()).days,
                BudgetSettings(),
            ),
            parked=(("malformed_timestamp", 3), ("unknown_topic", 2), ("no_order_id", 1)),
        )
    return Figures(
        phase="live, 20 webhooks/s",
        elapsed_s=83,
        statuses={200: 10**6, 401: 3},
        history=10**6,
        live=10**6,
        repeated=31_000,
        placed=10**5,
        acked_ms=(1.0, None),
        graph={"received": 98_000},
        aggregates=aggregates,
        predicted_ltv="1,209.14 USD a year",
    )


def drawn(now: Figures, width: int, height: int, commands: str = "") -> list[str]:
    console = Console(width=width, height=height, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    place = screen.Place(width, height, DASHBOARD, "Ctrl-C ends it", commands)
    console.print(screen.screen(now, place))
    return console.export_text().splitlines()


@pytest.mark.parametrize(
    ("width", "height"), [(60, 60), (80, 24), (80, 50), (99, 24), (100, 30), (140, 40)]
)
def test_the_screenful_fits_into_a_terminal_and_cuts_no_figure(
    folded: tuple[SqlStore, list[Entry]], width: int, height: int
) -> None:
    lines = drawn(figures(folded[0]), width, height, "commands: cat /tmp/orderwire-demo-x/c.txt")
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert not [line for line in lines if "…" in line]
    assert any(DASHBOARD in line for line in lines[:2])


def test_from_100_columns_on_it_leaves_room_for_the_commands_above(
    folded: tuple[SqlStore, list[Entry]],
) -> None:
    assert len(drawn(figures(folded[0]), 100, 30)) <= screen.LINES


def test_a_low_terminal_names_the_panels_that_it_leaves_out(
    folded: tuple[SqlStore, list[Entry]],
) -> None:
    low = "\n".join(drawn(figures(folded[0]), 80, 24))
    assert "in a taller terminal: carts, ad budgets" in low
    assert "in a taller terminal" not in "\n".join(drawn(figures(folded[0]), 80, 50))


def test_orders_add_up_and_repeats_are_shown(folded: tuple[SqlStore, list[Entry]]) -> None:
    now = figures(folded[0])
    shown = {name.strip(): str(value) for name, value in panels.orders(now)}
    counts = {name: int(value.replace(",", "")) for name, value in shown.items() if "/" not in name}
    assert counts["placed live"] == (
        counts["sent to Meta"] + counts["on its way"] + counts["unpaid or a test"]
    )
    assert counts["received by Meta"] == counts["sent to Meta"] + counts["sent of last week"]
    assert dict(panels.webhooks(now))["of them sent again"] == "31,000"
    assert "31,000 of them again" in screen.line(now)
    assert "6 parked" in screen.line(now)


@pytest.mark.parametrize("joined", [True, False])
def test_advice_stands_beside_a_large_spend(joined: bool) -> None:
    usd = {"amount": "234567.89", "currency_code": "USD"}
    campaigns = [
        SimpleNamespace(current_budget=usd, recommended_budget=usd if advised else None)
        for advised in (True, True, False)
    ]
    total = SimpleNamespace(spend=usd, roas=3.6)
    shown: Any = SimpleNamespace(budget=SimpleNamespace(total=total, campaigns=campaigns))
    rows = panels.budgets(shown, joined=joined)
    assert rows[-1] == ("a day: now / advised", "469,136 / 469,136 (2 of 3)")
    # One column of labels and one of figures share the panel's inside at 100 columns.
    assert max(len(name) for name, _ in rows) + max(len(value) for _, value in rows) <= 46


def test_a_predicted_value_that_is_missing_says_why() -> None:
    money = {"amount": "209.14", "currency_code": "USD"}
    assert predicted_ltv_text({"ltv_predicted": {"ltv": money}}) == "209.14 USD a year"
    missing = {"ltv_predicted": {"ltv": None, "reason": "needs 500"}}
    assert predicted_ltv_text(missing) == "too few ordered again"
    assert predicted_ltv_text({}) == "-"
