r"""Shops that are behind the others of their processor: stopped, or catching up after that.

reads with all others ──(most of its records fail)──> stopped ──(restart, `replay --resume`)
    ^                  \\──(some fail: found bit by bit)───────────v
    └────────(at the processor's own position again)──── catching up
"""

from collections.abc import Collection
from typing import Any, NamedTuple

from stream.store.contract import Fenced, Reading, Transaction

ALL_SHOPS = ""
"""In `StoppedShop.shop`: the processor as a whole is stopped, and `next` is its position."""


class StoppedShop(NamedTuple):
    """Columns of `stopped_shop`, the first four its key: up to where the shop's records are folded,
    per partition. The processor's own position goes on without the shop; the log keeps what the row
    needs."""

    processor: str
    topic: str
    partition: int
    shop: str
    next: int
    """The first offset of this shop that is not folded."""
    stopped: int
    """1: stopped; 0: catching up, or, for a whole processor, asked to go on."""
    limited_from: int
    """Below this offset failures are parked without a limit: somebody asked to go on all the same.
    """
    reason: str
    since_ms: int


COLUMNS = ", ".join(StoppedShop._fields)
KEY = "processor = :processor AND topic = :topic AND partition = :partition AND shop = :shop"


def resume_command(processor: str, shop: str = ALL_SHOPS) -> str:
    """The command that resumes it, for messages."""
    named = f" --shop {shop}" if shop else ""
    return (
        "after an upgrade restart `orderwire serve`; to go on as it is, and park what fails, "
        f"`orderwire replay --resume --processor {processor}{named}`"
    )


def stopped_shops(reading: Reading, processor: str | None = None) -> list[StoppedShop]:
    """Rows of one processor, or of all."""
    where = "" if processor is None else "WHERE processor = :processor"
    rows = reading.query(
        f"SELECT {COLUMNS} FROM stopped_shop {where} ORDER BY 1, 2, 3, 4",
        **({} if processor is None else {"processor": processor}),
    )
    return [StoppedShop(*row) for row in rows]


def first_needed(reading: Reading) -> dict[tuple[str, str, int], int]:
    """The first offset that each (processor, topic, partition) has yet to read, for any shop."""
    needed = {(p.processor, p.topic, p.partition): p.next for p in reading.positions()}
    for row in stopped_shops(reading):
        place = (row.processor, row.topic, row.partition)
        if place in needed:
            needed[place] = min(needed[place], row.next)
    return needed


def begin(transaction: Transaction, rows: Collection[StoppedShop]) -> None:
    """Record shops that fall behind from here on."""
    for row in rows:
        transaction.execute(f"DELETE FROM stopped_shop WHERE {KEY}", **_key(row))
        transaction.execute(
            f"INSERT INTO stopped_shop ({COLUMNS})"
            f" VALUES ({', '.join(f':{name}' for name in StoppedShop._fields)})",
            **row._asdict(),
        )


def move(transaction: Transaction, row: StoppedShop, to: StoppedShop) -> None:
    """Replace `row` by `to`. Raises Fenced if another owner has moved it."""
    changed = transaction.execute(
        "UPDATE stopped_shop SET next = :next, stopped = :stopped, reason = :reason,"
        # Somebody may have asked to go on since the row was read.
        " limited_from = CASE WHEN :stopped = 1 THEN 0 ELSE limited_from END,"
        f" since_ms = :since_ms WHERE {KEY} AND next = :before",
        before=row.next,
        **to._asdict(),
    )
    if not changed:
        raise Fenced(f"{row.processor}: another owner has moved {row.shop} on {row.topic}")


def end(transaction: Transaction, row: StoppedShop) -> None:
    """The shop has caught up with its processor."""
    transaction.execute(f"DELETE FROM stopped_shop WHERE {KEY}", **_key(row))


def go_on(
    transaction: Transaction,
    row: StoppedShop,
    limited_from: int,
) -> None:
    """Resume a shop, or a processor; records that still fail below `limited_from` are parked."""
    transaction.execute(
        f"UPDATE stopped_shop SET stopped = 0, limited_from = :limited_from WHERE {KEY}",
        limited_from=limited_from,
        **_key(row),
    )


def _key(row: StoppedShop) -> dict[str, Any]:
    return {
        "processor": row.processor,
        "topic": row.topic,
        "partition": row.partition,
        "shop": row.shop,
    }
