"""Orders on a topic, for everybody who counts: written once as orderwire writes them, with the
customer as key, so that no peer has to sort them by customer first."""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from bench.receiving._webhooks import SHOP, order_body
from stream.log.kafka.log import KafkaLog
from stream.log.kafka.settings import KafkaSettings
from stream.record import Record

PARTITIONS = 4
BODY_BYTES = 2_000
STEP = 500
FIRST = 5_000_000_000_000


class Written(NamedTuple):
    """A topic, and what is right to say of it."""

    topic: str
    orders: int
    revenue: int
    deliveries: int
    """Of which an order may have several."""


def bodies(
    count: int, customers: int, seed: int, *, age_days: int = 20, first: int = FIRST
) -> Iterator[tuple[str, str, bytes, int]]:
    """(delivery's id, customer, body, total in minor units) of orders that were paid; `first` is
    the first one's id."""
    rng, template = random.Random(seed), json.loads(order_body(BODY_BYTES))
    began = datetime.now(UTC) - timedelta(days=age_days)
    for number in range(count):
        customer, total = 7_000_000_000_000 + rng.randrange(customers), rng.randrange(500, 20_000)
        at = (began + timedelta(seconds=number)).isoformat(timespec="seconds")
        price = f"{total // 100}.{total % 100:02}"
        money = {"amount": price, "currency_code": "USD"}
        template |= {
            "id": first + number,
            "total_price": price,
            "current_total_price": price,
            "current_total_price_set": {"shop_money": money, "presentment_money": money},
            "created_at": at,
            "processed_at": at,
            "updated_at": at,
            "checkout_token": f"c{number}",
        }
        template["customer"]["id"] = customer
        body = json.dumps(template, separators=(",", ":")).encode()
        yield f"w{seed}-{number}", str(customer), body, total


async def write(
    bootstrap: str,
    name: str,
    count: int,
    *,
    customers: int = 3_000,
    times: int = 1,
    seed: int = 1,
    partitions: int = PARTITIONS,
) -> Written:
    """`count` orders, each delivered `times` times in a row, on the topic `<name>-orders`."""
    settings = KafkaSettings(topic_prefix=f"{name}-", partitions=partitions, ack_timeout_s=30.0)
    log = await KafkaLog.open(bootstrap, settings)
    headers = {"source": "shopify", "shop": SHOP, "topic": "orders/paid"}
    revenue, step = 0, list[Record]()
    received_ms = int((datetime.now(UTC) - timedelta(hours=1)).timestamp() * 1000)
    for delivery, customer, body, total in bodies(count, customers, seed):
        revenue += total
        step += [Record("orders", customer, delivery, received_ms, headers, body)] * times
        if len(step) >= STEP:
            await log.append(step)
            step = []
    if step:
        await log.append(step)
    await log.close()
    return Written(f"{name}-orders", count, revenue, count * times)
