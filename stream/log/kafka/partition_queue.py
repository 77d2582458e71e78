"""The queue of a topic's partition, and the appends whose records wait in it."""

import asyncio
from collections import deque
from typing import Any

from stream.log.kafka.records import Message
from stream.log.kafka.refusals import RefusedMessages


class Ticket:
    """One append, done when its last record is acknowledged or refused."""

    __slots__ = ("deadline", "done", "left", "open", "refused", "size")

    def __init__(self, done: "asyncio.Future[None]", left: int, size: int, deadline: float) -> None:
        self.done, self.left, self.size, self.deadline = done, left, size, deadline
        self.open = True
        self.refused: RefusedMessages | None = None


Waiting = tuple[Message, Ticket]


class PartitionQueue:
    """The queue of one partition, sent by at most one task, so that batches leave in the order of
    the appends."""

    __slots__ = ("moving", "returned", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Waiting] = deque()
        self.returned: list[Waiting] = []
        """Of batches that were refused, or came behind one: sent again by a new client."""
        self.moving = False

    def fill(self, batch: Any, most_bytes: int) -> list[Waiting]:
        """Move what waits into a batch of aiokafka's, at most so many bytes but one record at
        least, and close it; what it holds now."""
        entries: list[Waiting] = []
        size = 0
        while self.waiting:
            message, ticket = self.waiting[0]
            size += message.size
            if entries and size > most_bytes:
                break
            taken = batch.append(
                timestamp=None, key=message.key, value=message.value, headers=message.headers
            )
            if taken is None:
                break
            self.waiting.popleft()
            entries.append((message, ticket))
        batch.close()
        return entries
