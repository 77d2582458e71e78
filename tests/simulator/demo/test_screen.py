"""The demo's screenful fits into a terminal."""

import os
from datetime import UTC, datetime

from rich.console import Console

from aggregates.budget.answer.overview import BudgetSettings, budget
from aggregates.carts.answer.overview import CartSettings, carts
from simulator.demo import screen
from simulator.demo.figures import Aggregates, Figures
from stream.record import Entry
from stream.store.sql.store import SqlStore
from tests.support.shops.folded_shop import NOW, SHOP


def test_the_screenful_fits_below_the_commands_in_a_terminal_of_100_by_30(
    folded: tuple[SqlStore, list[Entry]],
) -> None:
    with folded[0].snapshot() as snapshot:
        aggregates = Aggregates(
            lag=0,
            waiting=0,
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
    now = Figures(
        "live",
        83,
        {200: 10**6, 401: 3},
        10**6,
        10**6,
        10**5,
        (1.0, None),
        {"received": 10**6},
        aggregates,
    )
    console = Console(width=100, height=30, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(screen.screen(now, "Ctrl-C ends it"))
    lines = console.export_text().splitlines()
    assert len(lines) <= 19
    assert max(map(len, lines)) <= 100
    assert not [line for line in lines if "…" in line]
    assert "6 parked" in screen.line(now)
