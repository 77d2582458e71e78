"""A receiver with Starlette on uvicorn, and confluent-kafka with `acks=all`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bench.peers.programs._rdkafka import AsyncProducer
from bench.peers.programs._receiving import (
    arguments,
    is_signed,
    listening,
    until_stopped,
)

options = arguments()


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    """The producer lives as long as the application."""
    app.state.producer = AsyncProducer(options.bootstrap)
    yield


async def receive(request: Request) -> Response:
    """One delivery."""
    body = await request.body()
    if not is_signed(body, request.headers.get("x-shopify-hmac-sha256", "")):
        return Response(status_code=401)
    producer: AsyncProducer = request.app.state.producer
    await producer.send(options.topic, body, request.headers["x-shopify-shop-domain"].encode())
    return Response()


app = Starlette(routes=[Route("/webhooks/shopify", receive, methods=["POST"])], lifespan=lifespan)
config = uvicorn.Config(app, log_level="error", access_log=False)
server = uvicorn.Server(config)
until_stopped(lambda: setattr(server, "should_exit", True))
server.run(sockets=[listening()])
