"""Orders per customer with FastStream and asyncpg, one upsert per event, as both documents show."""

import asyncio

import asyncpg
from faststream import FastStream
from faststream.kafka import KafkaBroker

from bench.peers.programs._counting import Meter, arguments, order_of

UPSERT = """
INSERT INTO customers AS c (customer, orders, revenue) VALUES ($1, 1, $2)
ON CONFLICT (customer) DO UPDATE
SET orders = c.orders + 1, revenue = c.revenue + excluded.revenue
"""


async def main() -> None:
    """Count until the topic is read to its end."""
    options = arguments()
    meter = Meter(options.until)
    pool = await asyncpg.create_pool(options.database, min_size=1, max_size=4)
    await pool.execute(
        "CREATE TABLE IF NOT EXISTS customers (customer text PRIMARY KEY, orders bigint NOT NULL,"
        " revenue bigint NOT NULL)"
    )
    broker = KafkaBroker(options.bootstrap, logger=None)
    app = FastStream(broker, logger=None)

    @broker.subscriber(
        options.topic,
        group_id=options.group,
        auto_offset_reset="earliest",
        session_timeout_ms=6_000,
        decoder=lambda message: message.body,
    )
    async def counted(body: bytes) -> None:
        customer, amount = order_of(body)
        await pool.execute(UPSERT, customer, amount)
        meter.saw()

    running = asyncio.create_task(app.run())
    while not meter.over:  # noqa: ASYNC110 - the framework owns the loop that reads
        await asyncio.sleep(0.2)
    rows = await pool.fetch("SELECT orders, revenue FROM customers")
    meter.finish((row["orders"], row["revenue"]) for row in rows)
    app.exit()
    await running
    await pool.close()


asyncio.run(main())
