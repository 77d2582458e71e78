"""What a process runs that sends for one account until it is killed: its arguments are the store's
URL and the account, as JSON."""

import asyncio
import json
import sys
from typing import Any

from pydantic import TypeAdapter

from destinations.delivery.account import Account
from destinations.delivery.sending.sender import OutboxSender
from destinations.delivery.transport import aiohttp_call, client_session
from destinations.registry import KINDS
from stream.store.sql.store import SqlStore


async def send(store_url: str, answer: dict[str, Any]) -> None:
    kind = KINDS[answer["kind"]]
    settings = TypeAdapter(kind.settings()).validate_python(answer.pop("settings"))
    store = SqlStore.open(store_url)
    async with client_session() as session:
        destination = kind.destination(Account(**answer, settings=settings))
        await OutboxSender(store, [destination], aiohttp_call(session)).run()


def main() -> None:
    """Send."""
    asyncio.run(send(sys.argv[1], json.loads(sys.argv[2])))
