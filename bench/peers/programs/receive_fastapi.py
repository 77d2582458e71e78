"""A receiver with FastAPI on uvicorn, and aiokafka with `acks=all`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from aiokafka import AIOKafkaProducer
from fastapi import FastAPI, Header, HTTPException, Request

from bench.peers.programs._receiving import (
    arguments,
    is_signed,
    listening,
    until_stopped,
)

options = arguments()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The producer lives as long as the application."""
    app.state.producer = AIOKafkaProducer(
        bootstrap_servers=options.bootstrap, acks="all", max_batch_size=options.batch_bytes
    )
    await app.state.producer.start()
    yield
    await app.state.producer.stop()


app = FastAPI(lifespan=lifespan)


@app.post("/webhooks/shopify")
async def receive(
    request: Request,
    x_shopify_hmac_sha256: str = Header(),
    x_shopify_shop_domain: str = Header(),
) -> dict[str, str]:
    """One delivery."""
    body = await request.body()
    if not is_signed(body, x_shopify_hmac_sha256):
        raise HTTPException(401)
    producer: AIOKafkaProducer = app.state.producer
    await producer.send_and_wait(options.topic, body, key=x_shopify_shop_domain.encode())
    return {}


config = uvicorn.Config(app, log_level="error", access_log=False)
server = uvicorn.Server(config)
until_stopped(lambda: setattr(server, "should_exit", True))
server.run(sockets=[listening()])
