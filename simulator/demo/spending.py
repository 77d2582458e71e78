"""Reports the simulated campaigns' spend: the past once, and today's again while it grows."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

import orjson

from simulator.demo.stage import SHOP
from simulator.shop.shop import ShopSimulator
from stream.log.contract import Log, LogError
from stream.record import Record

EVERY_S = 3.0


async def report_past(log: Log, shop: ShopSimulator, days: int) -> None:
    """Append the last `days` days of every campaign, and those before them in the same month:
    a month's new customers are compared with the ads of the whole of it. Raises LogError."""
    today = datetime.now(UTC).astimezone(shop.zone).date()
    first = (today - timedelta(days=days - 1)).replace(day=1)
    await report(log, shop, (today - first).days + 1)


async def report(log: Log, shop: ShopSimulator, days: int) -> None:
    """Append the last `days` days of every campaign. Raises LogError."""
    today = datetime.now(UTC).astimezone(shop.zone).date()
    now_ms = time.time_ns() // 1_000_000
    records = []
    for row in shop.spend(days, today=today):
        body = orjson.dumps(row)
        digest = blake2b(body, digest_size=16).hexdigest()
        headers = {"source": "spend", "topic": "spend", "shop": SHOP}
        key = f"{SHOP}:{row['channel']}:{row['campaign_id']}"
        records.append(Record("spend", key, digest, now_ms, headers, body))
    await log.append(records)


async def follow(log: Log, shop: ShopSimulator) -> None:
    """Report today's spend again and again, until cancelled. A log that is away is tried again."""
    while True:
        await asyncio.sleep(EVERY_S)
        try:
            await report(log, shop, 1)
        except LogError:
            continue
