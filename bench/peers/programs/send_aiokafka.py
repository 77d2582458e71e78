"""Purchases to the Conversions API by hand: an aiokafka consumer that commits by itself, and one
request per order. `--at-once` bounds how many requests are under way."""

import argparse
import asyncio
import hashlib
import time

import orjson
from aiohttp import ClientSession
from aiokafka import AIOKafkaConsumer, ConsumerRecord


async def main() -> None:
    """Send until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--graph", required=True, help="https://…/v24.0/<pixel>/events")
    parser.add_argument("--at-once", type=int, default=16)
    options = parser.parse_args()
    consumer = AIOKafkaConsumer(
        options.topic,
        bootstrap_servers=options.bootstrap,
        group_id=f"{options.topic}-send",
        auto_offset_reset="earliest",
        session_timeout_ms=6_000,
    )
    await consumer.start()
    free = asyncio.Semaphore(options.at_once)
    sending = set[asyncio.Task[None]]()
    async with ClientSession() as session:

        async def send(message: "ConsumerRecord[bytes, bytes]") -> None:
            order = orjson.loads(message.value or b"{}")
            event = {
                "event_name": "Purchase",
                "event_time": int(time.time()),
                "event_id": str(order["id"]),
                "action_source": "website",
                "user_data": {
                    "em": [hashlib.sha256(order["email"].encode()).hexdigest()],
                    "client_ip_address": order["browser_ip"],
                    "client_user_agent": order["client_details"]["user_agent"],
                },
                "custom_data": {
                    "value": float(order["total_price"]),
                    "currency": order["currency"],
                    "order_id": str(order["id"]),
                },
            }
            try:
                body = {"data": [event], "access_token": "token"}
                async with session.post(options.graph, json=body) as answer:
                    await answer.read()
            finally:
                free.release()

        async for message in consumer:
            await free.acquire()
            task = asyncio.create_task(send(message))
            sending.add(task)
            task.add_done_callback(sending.discard)


asyncio.run(main())
