"""A receiver by hand: aiohttp and aiokafka, `acks=all`, 200 after the acknowledgement."""

import asyncio
import sys

from aiohttp import web
from aiokafka import AIOKafkaProducer

from bench.peers.programs._receiving import arguments, is_signed
from bench.receiving._cores import loop_factory


async def main() -> None:
    """Serve until standard input ends."""
    options = arguments()
    producer = AIOKafkaProducer(
        bootstrap_servers=options.bootstrap, acks="all", max_batch_size=options.batch_bytes
    )
    await producer.start()

    async def receive(request: web.Request) -> web.Response:
        body = await request.read()
        if not is_signed(body, request.headers.get("X-Shopify-Hmac-Sha256", "")):
            return web.Response(status=401)
        shop = request.headers["X-Shopify-Shop-Domain"]
        await producer.send_and_wait(options.topic, body, key=shop.encode())
        return web.Response()

    app = web.Application(handler_args={"access_log": None})
    app.router.add_post("/webhooks/shopify", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()
    await producer.stop()


with asyncio.Runner(loop_factory=loop_factory()) as runner:
    runner.run(main())
