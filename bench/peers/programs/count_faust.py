"""Orders per customer with faust-streaming: an agent and a table in RocksDB's place, memory with a
changelog topic, which is its default."""

import asyncio
import os
import sys

import faust

from bench.peers.programs._counting import Meter, arguments, order_of

options = arguments()
meter = Meter(options.until)
app = faust.App(
    options.group,
    broker=f"kafka://{options.bootstrap}",
    store="memory://",
    datadir=f"{options.folder}/faust",
    topic_partitions=4,
    web_enabled=False,
    broker_session_timeout=6.0,
    broker_heartbeat_interval=2.0,
    stream_wait_empty=False,
)
topic = app.topic(options.topic, value_serializer="raw", key_type=bytes, value_type=bytes)
table = app.Table("customers", default=lambda: [0, 0], partitions=4)


@app.agent(topic)
async def counted(stream: "faust.Stream[bytes]") -> None:
    """Each event."""
    async for body in stream:
        customer, amount = order_of(body)
        orders, revenue = table[customer]
        table[customer] = [orders + 1, revenue + amount]
        meter.saw()


@app.task
async def watch() -> None:
    """Ends the worker once the topic is silent."""
    while not meter.over:  # noqa: ASYNC110 - the framework owns the loop that reads
        await asyncio.sleep(0.2)
    meter.finish((orders, revenue) for orders, revenue in table.values())
    os._exit(0)  # the worker takes a second or more to end, and says nothing more


sys.argv = [sys.argv[0], "worker", "--loglevel=error", "--without-web"]
app.main()
