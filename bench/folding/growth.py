"""Measures what the store keeps of an order: bytes and rows by table, on its day and later. Run:
python -m bench.folding.growth [VISITS] [sqlite] [postgresql]

Bytes are whole pages after VACUUM, indexes with their table: the difference of two stores, with all
visits and with a tenth of them, by the difference of their orders.
"""

import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from multidict import CIMultiDict
from psycopg.sql import SQL, Identifier, Literal

from destinations.delivery.ledger import claim, settle_sent
from destinations.delivery.results import Attempt
from ingest.shopify import webhooks
from orderwire.serve.feeds import FEEDS, running
from orderwire.serve.registry import PROCESSORS, projections
from orderwire.serve.upkeep.sweeping import sweep
from orderwire.settings.program import Settings
from processors.engine.parking import parked
from processors.engine.processor import Processor
from processors.shopify.tolerance import Rejected
from simulator.servers.postgres import PostgresServer
from simulator.shop.delivery import Delivery
from simulator.shop.shop import ShopSimulator
from stream.record import Entry, Record
from stream.store.contract import Move
from stream.store.sql.store import SqlStore

SHOP = "bench.myshopify.com"
UNKNOWN = "products/update"
VARIABLES = {
    "SHOPIFY_SHOP": SHOP,
    "SHOPIFY_WEBHOOK_SECRET": "a shared secret",
    "META_PIXEL_ID": "1234567890",
    "META_ACCESS_TOKEN": "token",
}
BATCH = 500
DAY_MS = 86_400_000
DAYS = (0, 31, 91)
LEAST = 3.0
"""Bytes an order; tables below that are one line together."""


class Table(NamedTuple):
    """What a table takes."""

    rows: int
    size: int


def deliveries(visits: int, start: datetime) -> Iterator[Delivery]:
    """What the shop sends within a day."""
    shop = ShopSimulator(1, SHOP, VARIABLES["SHOPIFY_WEBHOOK_SECRET"], start, visits // 2)
    step = timedelta(days=1) / visits
    for number in range(visits):
        yield from shop.visit(start + number * step)


def entries(sent: Sequence[Delivery], start_ms: int) -> list[Entry]:
    """As the log has them."""
    made = [
        Entry(
            webhooks.identify(
                SHOP, CIMultiDict(one.headers), one.body, start_ms + number * DAY_MS // len(sent)
            ).record,
            0,
            number,
        )
        for number, one in enumerate(sent)
    ]
    unknown = [
        Entry(
            Record(
                "parked",
                SHOP,
                f"{number:032x}",
                each.record.time_ms,
                {
                    "source": "shopify",
                    "shop": SHOP,
                    "topic": UNKNOWN,
                    "parked_reason": "unknown_topic",
                    "parked_from": "receiver",
                },
                b"{}",
            ),
            0,
            number,
        )
        for number, each in enumerate(made)
    ]
    return made + unknown


def fold(
    store: SqlStore, processors: Mapping[str, Processor[Any]], log: Sequence[Entry], now_ms: int
) -> None:
    """Every record by every processor that reads its topic, in batches, as the runner does."""
    for name, processor in processors.items():
        topic = FEEDS[name]
        mine = [entry for entry in log if entry.record.topic == topic]
        loaded = None
        for start in range(0, len(mine), BATCH):
            batch = mine[start : start + BATCH]
            events = []
            for entry in batch:
                try:
                    events.append(processor.decode(entry))
                except Rejected as rejected:
                    parked(entry, rejected)
            move = Move(loaded, batch[-1].offset + 1, len(batch))
            loaded = move.next
            with store.begin() as transaction:
                transaction.advance(name, topic, {0: move}, batch[-1].record.time_ms)
                processor.apply(
                    transaction, [event for event in events if event is not None], now_ms
                )


def send(store: SqlStore, now_ms: int) -> None:
    """Settle every event that waits as taken."""
    while True:
        with store.begin() as transaction:
            rows = claim(transaction, store.dialect, SHOP, "meta", "bench", now_ms, 60_000, BATCH)
        if not rows:
            return
        details = {"code": None, "subcode": None, "fbtrace_id": "AbCdEfGhIjKlMnOpQrStUv"}
        with store.begin() as transaction:
            settle_sent(
                transaction, store.dialect, rows, Attempt(now_ms, 120, "sent", 200, details)
            )


def age(
    store: SqlStore,
    url: str,
    settings: Settings,
    processors: Mapping[str, Processor[Any]],
    now_ms: int,
) -> None:
    """Let time alone do what it does until then."""
    before = -1
    while (rows := sum(table.rows for table in sizes(url, vacuum=False).values())) != before:
        before = rows
        for _ in range(20):
            for processor in processors.values():
                with store.begin() as transaction:
                    processor.tick(transaction, now_ms)
    sweep(store, projections(settings).values())
    with store.begin() as transaction:
        transaction.forget_changes(2**62)


def sizes(url: str, *, vacuum: bool = True) -> dict[str, Table]:
    """Rows and bytes of every table, its indexes with it."""
    return (_sqlite if url.startswith("sqlite") else _postgres)(url, vacuum=vacuum)


def _sqlite(url: str, *, vacuum: bool) -> dict[str, Table]:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    if vacuum:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("VACUUM")
    found = {}
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (name,) in names:
        (rows,) = connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()
        (size,) = connection.execute(
            "SELECT coalesce(sum(pgsize), 0) FROM dbstat WHERE name IN"
            " (SELECT name FROM sqlite_master WHERE tbl_name = ?)",
            (name,),
        ).fetchone()
        found[str(name)] = Table(rows, size)
    connection.close()
    return found


def _postgres(url: str, *, vacuum: bool) -> dict[str, Table]:
    found = {}
    with psycopg.connect(url, autocommit=True) as connection:
        if vacuum:
            connection.execute("VACUUM FULL")
        names = connection.execute("SELECT relname FROM pg_stat_user_tables").fetchall()
        for (name,) in names:
            sql = SQL("SELECT count(*), pg_total_relation_size({}) FROM {}")
            row = connection.execute(sql.format(Literal(name), Identifier(name))).fetchone()
            found[str(name)] = Table(*(row or (0, 0)))
    return found


class Life(NamedTuple):
    """A store at each age."""

    found: Sequence[Mapping[str, Table]]
    orders: int
    sent: int
    """Deliveries, of known topics; as many of an unknown one."""
    empty_bytes: int

    def beyond(self, fewer: "Life") -> "Life":
        """What the orders took that the other store has not."""
        found = [
            {
                name: Table(table.rows - few[name].rows, table.size - few[name].size)
                for name, table in many.items()
            }
            for many, few in zip(self.found, fewer.found, strict=True)
        ]
        return Life(found, self.orders - fewer.orders, self.sent - fewer.sent, self.empty_bytes)


def report(found: Sequence[Mapping[str, Table]], orders: int, sent: int) -> None:
    """One line a table: rows and bytes per order at each age."""
    header = "".join(f"{f'after {days} days':>24}" for days in DAYS)
    print(f"{'per order':24}{header}")
    rest = [Table(0, 0) for _ in DAYS]
    for name in sorted(found[0], key=lambda each: -max(at[each].size for at in found)):
        at = [each[name] for each in found]
        if name == "parked":
            continue
        if max(table.size for table in at) / orders < LEAST:
            rest = [Table(a.rows + b.rows, a.size + b.size) for a, b in zip(rest, at, strict=True)]
            continue
        print(f"{name:24}" + "".join(_cell(table, orders) for table in at))
    print(f"{'all others':24}" + "".join(_cell(table, orders) for table in rest))
    sums = [sum(table.size for name, table in each.items() if name != "parked") for each in found]
    print(f"{'bytes':24}" + "".join(f"{size / orders:>24,.0f}" for size in sums))
    print(f"\n{'per unknown delivery':24}" + "".join(_cell(each["parked"], sent) for each in found))


def _cell(table: Table, of: int) -> str:
    return f"{f'{table.rows / of:.2f} rows {table.size / of:6.0f} B':>24}"


def lived(url: str, visits: int) -> Life:
    """A store, and what became of a day's deliveries in it."""
    start = datetime(2026, 11, 22, tzinfo=UTC)
    start_ms = int(start.timestamp() * 1000)
    settings = Settings.load({**VARIABLES, "ORDERWIRE_STORE_URL": url})
    store = SqlStore.open(url)
    empty_bytes = sum(table.size for table in sizes(url).values())
    made = projections(settings)
    processors = {name: PROCESSORS[name](settings, made) for name in running(settings)}
    sent = list(deliveries(visits, start))
    found: list[dict[str, Table]] = []
    for days in DAYS:
        now_ms = start_ms + (1 + days) * DAY_MS
        if not found:
            fold(store, processors, entries(sent, start_ms), now_ms)
            send(store, now_ms)
        else:
            age(store, url, settings, processors, now_ms)
        found.append(sizes(url))
    store.close()
    return Life(found, found[0]["shop_order"].rows, len(sent), empty_bytes)


def measure(database: str, url: str, url_of_fewer: str, visits: int) -> None:
    """Print the table of one database."""
    life = lived(url, visits)
    more = life.beyond(lived(url_of_fewer, visits // 10))
    print(
        f"growth: {life.orders:,} orders, {life.sent:,} deliveries"
        f" ({life.sent / life.orders:.1f} an order), as many of an unknown topic; {database},"
        f" {life.empty_bytes / 1024:,.0f} kB where nothing came yet;"
        f" counted are the last {more.orders:,} orders"
    )
    report(more.found, more.orders, more.sent)


def main(arguments: Sequence[str]) -> None:
    """Print the table of each database asked for."""
    visits = next((int(each) for each in arguments if each.isdigit()), 10_000)
    wanted = [each for each in arguments if not each.isdigit()] or ["sqlite"]
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-growth-"))
        for database in wanted:
            if database == "postgresql":
                server = stack.enter_context(PostgresServer())
                urls = [server.create_database(f"growth_{name}") for name in ("all", "fewer")]
            else:
                urls = [f"sqlite:///{Path(folder) / name}.db" for name in ("all", "fewer")]
            measure(database, urls[0], urls[1], visits)


if __name__ == "__main__":
    main(sys.argv[1:])
