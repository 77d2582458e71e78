"""For tests of commands: one simulated shop's deliveries, an embedded log, settings from a folder
of their own, and a fold of everything.

`fold_all` does what the runner does, one step after the other and at a fixed time, so that two
states can be compared.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from multidict import CIMultiDict

from ingest.shopify import webhooks as shopify
from orderwire.operation.moving.store_copy import rows, tables
from orderwire.serve.feeds import running
from orderwire.serve.registry import PROCESSORS
from orderwire.settings.program import Settings
from processors.engine.parking import PARKED_CELLS, parked
from processors.shopify.tolerance import Rejected
from simulator.shop.delivery import Delivery
from simulator.shop.shop import ShopSimulator
from stream.log.sqlite.log import SqliteLog
from stream.record import Record
from stream.store.contract import Move
from stream.store.sql.store import SqlStore

SHOP, SECRET, PIXEL, TOKEN = (
    "demo.myshopify.com",
    "a shared secret",
    "1234567890",
    "EAAGm0PX4ZCpsBAKZCverysecrettoken",
)
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
VARIABLES = {
    "SHOPIFY_SHOP": SHOP,
    "SHOPIFY_WEBHOOK_SECRET": SECRET,
    "SHOPIFY_TIMEZONE": "Europe/Paris",
    "META_PIXEL_ID": PIXEL,
    "META_ACCESS_TOKEN": TOKEN,
    "AD_BANKROLL": "500",
    "AD_MARGIN": "0.4",
    "ORDERWIRE_RECEIVER": "127.0.0.1:0",
    "ORDERWIRE_API": "127.0.0.1:0",
}


def deliveries(visits: int, seed: int = 1) -> list[Delivery]:
    """What the shop tells during some visits, in order."""
    return list(_deliveries(visits, seed))


@lru_cache(maxsize=4)
def _deliveries(visits: int, seed: int) -> tuple[Delivery, ...]:
    simulator = ShopSimulator(seed, SHOP, SECRET, NOW - timedelta(seconds=visits), 50)
    return tuple(
        one for n in range(visits) for one in simulator.visit(NOW - timedelta(seconds=visits - n))
    )


def records(answer: Sequence[Delivery]) -> list[Record]:
    """As the receiver hands them to the log."""
    return [
        shopify.identify(
            SHOP, CIMultiDict(one.headers), one.body, NOW_MS - len(answer) + number
        ).record
        for number, one in enumerate(answer)
    ]


async def fold_all(
    settings: Settings, log: SqliteLog, store: SqlStore, only: Collection[str] = ()
) -> None:
    """Let the processors named, all that run where none is, read to the end of the log."""
    for name in running(settings):
        if not only or name in only:
            while await fold_some(settings, log, store, name):
                pass


async def fold_some(
    settings: Settings, log: SqliteLog, store: SqlStore, name: str, at_most: int = 500
) -> int:
    """One batch of one processor; how many records it had."""
    processor = PROCESSORS[name](settings)
    with store.snapshot() as snapshot:
        loaded = next((p.next for p in snapshot.positions(name)), None)
    entries = await log.scan(processor.topic, 0, loaded or 0, at_most)
    events = []
    for entry in entries:
        try:
            events.append(processor.decode(entry))
        except Rejected as rejected:
            await log.append([parked(entry, rejected)])
    with store.begin() as transaction:
        if entries:
            move = Move(loaded, entries[-1].offset + 1, len(entries))
            transaction.advance(
                name, processor.topic, {0: move}, max(entry.record.time_ms for entry in entries)
            )
        if found := [event for event in events if event is not None]:
            processor.apply(transaction, found, NOW_MS)
        processor.tick(transaction, NOW_MS)
    return len(entries)


async def filled(settings: Settings, store: SqlStore, log: SqliteLog, sent: list[Delivery]) -> None:
    """`sent` in the log, and folded by every processor."""
    await log.append(records(sent))
    await fold_all(settings, log, store)


def everything(store: SqlStore, *, aggregates: bool = False) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table. With `aggregates` only what a fold of the same records must agree
    on, whatever their order and number: no positions and places, no cells that count nothing, of
    the outbox which events there are and what became of them."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    with store.snapshot() as snapshot:
        for table in tables(snapshot, store.dialect):
            if aggregates and table.name in ("positions", "parked", "outbox_cell"):
                continue
            kept = sorted(
                (tuple(row) for batch in rows(snapshot, table) for row in batch), key=repr
            )
            if aggregates and table.name == "outbox":
                outcome = table.columns.index("outcome")
                kept = [(*row[: table.key], row[outcome]) for row in kept]
            if aggregates:
                kept = [row for row in kept if any(value != 0 for value in row[table.key :])]
            found[table.name] = kept
    return found


def parked_counts(store: SqlStore) -> dict[str, int]:
    """Records that wait to be replayed, by reason."""
    with store.snapshot() as snapshot:
        return {row[1]: row[2] for row in snapshot.changes(PARKED_CELLS, None).rows if row[2]}
