"""Records that the receiver parked, and their replay through every processor."""

from typing import Any

from orderwire.operation.replaying.parked_replay import Filter, Result, replay
from orderwire.serve.registry import PROCESSORS
from orderwire.settings.program import Settings
from stream.log.sqlite.log import SqliteLog
from stream.record import Record
from stream.store.sql.store import SqlStore
from tests.support.shops.shop_world import (
    NOW_MS,
    SHOP,
)

ORDERS_BY_SHOPIFY = {"source": "shopify", "shop": SHOP, "topic": "orders/paid"}


def processors(settings: Settings) -> dict[str, list[Any]]:
    by_topic: dict[str, list[Any]] = {}
    for make in PROCESSORS.values():
        made = make(settings)
        by_topic.setdefault(made.topic, []).append(made)
    return by_topic


def by_receiver(reason: str, body: bytes, **headers: str) -> Record:
    """A delivery that the receiver parked."""
    kept = {**ORDERS_BY_SHOPIFY, **headers, "parked_reason": reason, "parked_from": "receiver"}
    return Record("parked", SHOP, "w1", NOW_MS, kept, body)


async def run_replay(
    settings: Settings,
    log: SqliteLog,
    store: SqlStore,
    which: Filter = Filter(),  # noqa: B008 - frozen
    **options: Any,
) -> Result:
    return await replay(log, store, processors(settings), which, **options)
