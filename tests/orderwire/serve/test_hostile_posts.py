"""10,000 hostile posts over HTTP, through the receiver, the log and every processor of sales."""

import json
import time
from collections.abc import Iterator

import pytest

from destinations.delivery.rows import OUTBOX
from ingest.pixel import rates
from processors.checkouts.processor import Checkouts
from simulator.shop.delivery import Delivery
from simulator.shop.sender import ShopSender
from stream.log.sqlite.log import SqliteLog
from stream.record import Entry
from stream.store.sql.store import SqlStore
from tests.support.api.receiving import NOW_MS, SHOP, running
from tests.support.delivery.browser_posts import browser
from tests.support.delivery.capi_orders import processor, seen, settings

pytestmark = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
POSTS, AT_A_TIME, TOKEN = 10_000, 50, "checkout0001"


def hostile(number: int) -> bytes:
    """Guesses, floods of one token, things that are no posts, and what looks like a checkout."""
    told = {
        "shop": SHOP,
        "event": "checkout_completed",
        "checkout_token": f"guess{number:08d}" if number % 3 else "guess00000000",
        "token": TOKEN,
        "id": 1,
        "order_id": "1",
        "total_price": "0.01",
        "consent": {"marketing": False},
        "user_agent": "x" * (number % 600),
    }
    kinds = [json.dumps(told).encode(), b"{", b"x" * 9_000, b'{"shop":"stranger"}']
    return kinds[0] if number % 10 else kinds[number // 10 % 4]


def deliveries() -> Iterator[Delivery]:
    """From 500 addresses."""
    for number in range(POSTS):
        sender = {"X-Forwarded-For": f"198.51.{number % 2}.{number % 250}"}
        yield Delivery("", f"{number}", "", "", hostile(number), sender, "")


def outbox(store: SqlStore) -> list[tuple[object, ...]]:
    with store.snapshot() as snapshot:
        columns = ", ".join(OUTBOX.row._fields)
        return [tuple(row) for row in snapshot.query(f"SELECT {columns} FROM outbox")]


async def test_ten_thousand_hostile_posts_change_no_sale_and_stay_bounded(
    store: SqlStore, log: SqliteLog
) -> None:
    with store.begin() as transaction:
        processor(settings()).apply(transaction, [seen(id=1, checkout_token=TOKEN)], NOW_MS)
    before = outbox(store)

    async with running(log, pixel=True) as receiver:
        url = str(receiver.client.make_url("/pixel"))
        began_s = time.monotonic()
        statuses = (await ShopSender(url, deliveries(), connections=AT_A_TIME).run()).statuses
        took_s = time.monotonic() - began_s
        assert await receiver.deliver(b'{"id":5}') == 200
    assert sum(statuses.values()) == POSTS
    assert set(statuses) <= {204, 400, 413, 429}
    assert statuses[204] <= rates.SHOP.burst + rates.SHOP.per_s * (took_s + 1)

    entries, pixel, checkouts = list[Entry](), browser(most_unknown=500), Checkouts()
    while page := await log.scan("checkouts", 0, len(entries), 1_000):
        entries += page
    assert len(entries) == statuses[204]
    assert max(len(entry.record.body) for entry in entries) < 4_096
    assert {checkouts.decode(entry) for entry in entries} == {None}
    for start in range(0, len(entries), 500):
        posts = [pixel.decode(entry) for entry in entries[start : start + 500]]
        with store.begin() as transaction:
            pixel.apply(transaction, [post for post in posts if post is not None], NOW_MS)
    with store.begin() as transaction:
        pixel.tick(transaction, NOW_MS, SHOP)
    assert outbox(store) == before
    with store.snapshot() as snapshot:
        assert snapshot.query("SELECT COUNT(*) FROM browser_fact")[0][0] <= 500
        assert snapshot.query("SELECT COUNT(*) FROM cart_checkout")[0][0] == 0
