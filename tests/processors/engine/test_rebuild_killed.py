"""A rebuild that is killed at any moment goes on where it was, while orders arrive."""

import os
import random
import time
from pathlib import Path

from processors.engine import rebuild
from stream.store.contract import StoreUnavailable
from stream.store.sql.store import SqlStore
from tests.processors.engine.test_rebuild import NOW_MS, finish, fold, numbers, program, rfm, ticked
from tests.support.servers.forks import Forked
from tests.support.shopify.orders import SHOP, order

KILLS = 10
ORDERS = 400
REBUILDER = """
import sys
from processors.engine import rebuild
from stream.store.contract import StoreUnavailable
from aggregates.rfm.fold.projection import RfmFold
from stream.store.sql.store import SqlStore

rebuild.PAGE = rebuild.REMOVED = 7
store, projection = SqlStore.open(sys.argv[1]), RfmFold(version=1).projection()
shop, now_ms = sys.argv[2], int(sys.argv[3])
print("open", flush=True)
while True:
    try:
        with store.begin() as transaction:
            rebuild.request(transaction, projection, shop, now_ms)
        while rebuild.run(store, projection, shop, now_ms):
            pass
    except StoreUnavailable:
        pass
"""


def test_a_rebuild_killed_in_ten_places_ends_in_the_numbers_of_folding_alone(
    store: SqlStore, store_url: str, tmp_path: Path
) -> None:
    rng = random.Random(7)
    answer = [
        order(f"{n % 150}", version=n, customer=f"{n % 40}", total=100 + n) for n in range(ORDERS)
    ]
    processor = program(rfm())
    fold(store, processor, answer[:100])
    left = answer[100:]
    places: set[tuple[object, ...]] = set()
    for remaining in range(KILLS, 0, -1):
        child = Forked(
            [store_url, SHOP, str(NOW_MS)],
            os.environ,
            tmp_path,
            tmp_path / f"rebuilder-{remaining}.log",
            REBUILDER,
        )
        child.until_printed("open")
        # Orders for every kill, and the child works as long after the last of them.
        ours, left = left[: len(left) // remaining], left[len(left) // remaining :]
        until_s = time.monotonic() + rng.uniform(0.02, 0.3)
        while ours or time.monotonic() < until_s:
            try:
                fold(store, processor, ours[:5])
            except StoreUnavailable:
                continue
            ours = ours[5:]
            if not ours:
                time.sleep(max(0.0, until_s - time.monotonic()))
        child.kill()
        with store.snapshot() as snapshot:
            (state,) = snapshot.query(
                "SELECT live, building, stale, cursor FROM projection WHERE name = 'rfm'"
            )
        places.add(tuple(state))
    # A kill that comes before the child did anything leaves the place of the kill before.
    assert len(places) > KILLS // 2
    while left:
        fold(store, processor, left[:5])
        left = left[5:]
    projection = rfm()
    with store.begin() as transaction:
        rebuild.request(transaction, projection, SHOP, NOW_MS)
    finish(store, projection)
    ticked(store, processor)
    rebuilt = numbers(store)
    with store.begin() as transaction:
        for table in [*(each.table for each in projection.tables), "shop_order", "projection"]:
            transaction.execute(f"DELETE FROM {table}")
    again = program(rfm())
    fold(store, again, answer)
    ticked(store, again)
    assert rebuilt == numbers(store)
