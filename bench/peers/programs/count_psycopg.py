"""Orders per customer by a careful hand: aiokafka in batches, one upsert per batch, and the offset
committed after the transaction."""

import asyncio

import psycopg
from aiokafka import AIOKafkaConsumer

from bench.peers.programs._counting import Meter, arguments, order_of

BATCH = 500
UPSERT = """
INSERT INTO customers AS c (customer, orders, revenue)
SELECT * FROM unnest(%s::text[], %s::bigint[], %s::bigint[])
ON CONFLICT (customer) DO UPDATE
SET orders = c.orders + excluded.orders, revenue = c.revenue + excluded.revenue
"""


async def main() -> None:
    """Count until the topic is read to its end."""
    options = arguments()
    meter = Meter(options.until)
    connection = await psycopg.AsyncConnection.connect(options.database)
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS customers (customer text PRIMARY KEY, orders bigint NOT NULL,"
        " revenue bigint NOT NULL)"
    )
    await connection.commit()
    consumer = AIOKafkaConsumer(
        options.topic,
        bootstrap_servers=options.bootstrap,
        group_id=options.group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=6_000,
    )
    await consumer.start()
    try:
        while not meter.over:
            batch = await consumer.getmany(timeout_ms=200, max_records=BATCH)
            sums: dict[str, tuple[int, int]] = {}
            events = [order_of(message.value) for of in batch.values() for message in of]
            for customer, amount in events:
                orders, revenue = sums.get(customer, (0, 0))
                sums[customer] = orders + 1, revenue + amount
            if not events:
                continue
            await connection.execute(
                UPSERT, (list(sums), [n for n, _ in sums.values()], [m for _, m in sums.values()])
            )
            await connection.commit()
            await consumer.commit()
            meter.saw(len(events))
        rows = await (await connection.execute("SELECT orders, revenue FROM customers")).fetchall()
        meter.finish((int(orders), int(revenue)) for orders, revenue in rows)
    finally:
        await consumer.stop()
        await connection.close()


asyncio.run(main())
