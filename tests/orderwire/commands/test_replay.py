"""The commands `replay` and `resume`: what they show, refuse, and let go on."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from orderwire.cli import app
from orderwire.operation.replaying import set_aside_replay
from orderwire.settings.program import Settings
from processors.engine.parking import BODY_AT, parked, without_body
from processors.engine.runner import Runner
from processors.engine.stops import stopped_shops
from processors.shopify.tolerance import Rejected
from stream.log.contract import RecordsRefused
from stream.log.spool import SpooledLog, read_set_aside
from stream.log.sqlite.log import SqliteLog
from stream.metrics import ProcessorMetrics
from stream.record import Entry, Record
from stream.store.contract import Transaction
from stream.store.sql.store import SqlStore
from tests.support.shops.parked_records import ORDERS_BY_SHOPIFY, by_receiver, run_replay
from tests.support.shops.shop_world import (
    NOW_MS,
    SHOP,
    deliveries,
    records,
)

runner = CliRunner()
LEFT = "1 left parked, as this program still does not take them: unknown_topic\n"


async def test_the_command_replays_and_shows_what_it_did(
    shop_settings: Settings, store: SqlStore, log: SqliteLog
) -> None:
    order = next(record for record in records(deliveries(20)) if record.topic == "orders")
    await log.append(
        [
            parked(Entry(order, 9, 1), Rejected("decode_failed_X")),
            by_receiver("unknown_topic", b"{}", topic="products/create"),
        ]
    )
    dry = await asyncio.to_thread(runner.invoke, app, ["replay", "--parked", "--dry-run"])
    assert dry.output == f"1 would be replayed to orders\n{LEFT}"
    done = await asyncio.to_thread(runner.invoke, app, ["replay", "--parked"])
    assert done.output == f"1 replayed to orders\n{LEFT}"
    settled = await asyncio.to_thread(
        runner.invoke, app, ["replay", "--parked", "--discard", "--reason", "unknown_topic"]
    )
    assert settled.output == "1 discarded\n"
    nothing = await asyncio.to_thread(runner.invoke, app, ["replay", "--parked"])
    assert (nothing.exit_code, nothing.output) == (0, "nothing is parked that fits\n")


async def test_a_parked_record_whose_body_stayed_on_its_topic_is_replayed_with_it(
    shop_settings: Settings, store: SqlStore, log: SqliteLog
) -> None:
    orders = [record for record in records(deliveries(20)) if record.topic == "orders"]
    await log.append(orders)
    entry = (await log.scan("orders", 0, 3, 1))[0]
    rejected = Rejected("decode_failed_X")
    await log.append([without_body(parked(entry, rejected))])
    gone = Entry(orders[5], 0, 9_999)
    await log.append([without_body(parked(gone, rejected))])
    result = await run_replay(shop_settings, log, store)
    assert (result.returned, result.left) == ({"orders": 1}, {"body_gone": 1})
    again = (await log.scan("orders", 0, len(orders), 1))[0].record
    assert (again.body, again.id) == (entry.record.body, entry.record.id)
    assert BODY_AT not in again.headers


async def test_what_the_log_refused_is_replayed_once_it_takes_it_and_stays_where_it_does_not(
    log: SqliteLog, tmp_path: Path
) -> None:
    class Picky:
        """Refuses what is longer than `largest`."""

        largest = 0

        async def append(self, records: Sequence[Record]) -> None:
            refused = [each for each in records if len(each.body) > self.largest]
            await log.append([each for each in records if each not in refused])
            if refused:
                raise RecordsRefused("too_large", "more than this topic takes", refused)

        def __getattr__(self, name: str) -> Any:
            return getattr(log, name)

    picky, path = Picky(), tmp_path / "spool.db"
    answer = [
        Record("orders", "k", f"w{n}", NOW_MS, ORDERS_BY_SHOPIFY, b"x" * (100 * n))
        for n in range(1, 11)
    ]
    spooled = await SpooledLog.open(picky, path)
    await spooled.append(answer)
    assert read_set_aside(path) == {("orders", "too_large"): 10}
    dry = await set_aside_replay.replay(picky, path, dry_run=True)
    assert dry.left == {"too_large": 10}
    picky.largest = 500
    result = await set_aside_replay.replay(picky, path)
    assert (result.returned, result.left) == ({"orders": 5}, {"too_large": 5})
    assert [entry.record for entry in await log.scan("orders", 0, 0, 100)] == answer[:5]
    assert read_set_aside(path) == {("orders", "too_large"): 5}
    result = await set_aside_replay.replay(picky, path, discard=True)
    assert (result.discarded, read_set_aside(path)) == (5, {})
    await set_aside_replay.replay(picky, tmp_path / "no spool.db")
    await spooled.close()


async def test_resume_lets_a_stopped_shop_go_on_and_parks_what_still_fails(
    shop_settings: Settings, store: SqlStore, log: SqliteLog
) -> None:
    class Failing:
        name = "rfm"
        topic = "orders"

        def decode(self, entry: Entry) -> None:
            raise KeyError

        def apply(self, transaction: Transaction, events: object, now_ms: int) -> None: ...

        def tick(self, transaction: Transaction, now_ms: int, shop: str | None = None) -> None: ...

    def rows() -> list[tuple[str, int]]:
        with store.snapshot() as snapshot:
            return [(row.shop, row.stopped) for row in stopped_shops(snapshot)]

    async def come_to(wanted: list[tuple[str, int]]) -> None:
        async with asyncio.timeout(60):
            while await asyncio.to_thread(rows) != wanted:  # noqa: ASYNC110 - nothing to await
                await asyncio.sleep(0.01)

    order = next(record for record in records(deliveries(20)) if record.topic == "orders")
    await log.append([order] * 150)
    stop = asyncio.Event()
    metrics = ProcessorMetrics(CollectorRegistry(), "rfm")
    task = asyncio.create_task(Runner[None](Failing(), log, store, metrics=metrics).run(stop))
    await come_to([(SHOP, 1)])
    refused = await asyncio.to_thread(
        runner.invoke, app, ["replay", "--resume", "--shop", "other.myshopify.com"]
    )
    assert refused.output == "nothing that fits has stopped\n"
    short = SHOP.removesuffix(".myshopify.com")
    command = ["replay", "--resume", "--processor", "rfm", "--shop", short]
    done = await asyncio.to_thread(runner.invoke, app, command)
    assert done.output.startswith(f"rfm goes on with {SHOP} from 0 of orders/0\n")
    await come_to([])
    stop.set()
    await task
    assert (await log.spans("parked"))[0].next == 150


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "choose one"),
        (["--parked", "--resume"], "choose one"),
        (["--parked", "--topic", "orders", "--from", "earliest"], "choose one"),
        (["--parked", "--discard"], "--discard needs"),
        (["--from", "earliest"], "needs --topic"),
        (["--topic", "orders", "--from", "yesterday"], "neither"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(arguments: list[str], said: str) -> None:
    done = runner.invoke(app, ["replay", *arguments])
    assert done.exit_code == 2
    assert said in done.output


def test_a_processor_or_topic_that_does_not_exist_is_answered_with_those_that_do(
    shop_settings: Settings,
) -> None:
    done = runner.invoke(
        app, ["replay", "--topic", "orders", "--from", "earliest", "--processor", "nobody"]
    )
    assert done.exit_code == 1
    assert "orders (orders)" in done.output


def test_without_a_log_it_makes_none(shop_settings: Settings, tmp_path: Any) -> None:
    done = runner.invoke(app, ["replay", "--parked"])
    assert done.exit_code == 1
    assert "`orderwire serve` makes it" in done.output
    assert not (tmp_path / "log.db").exists()
