"""Reads the topic `audits`: each record asks for a run. The job `audits` carries it out."""

from collections.abc import Sequence
from typing import NamedTuple

from processors.audits import ledger
from processors.audits.run import TOPIC, Requested, requested
from processors.engine.processor import NO_TICKS
from processors.shopify.tolerance import Rejected
from stream.record import Entry
from stream.store.contract import Transaction


class WantedRun(NamedTuple):
    """A run that somebody asked for."""

    shop: str
    requested: Requested
    time_ms: int


class Audits:
    """`processors.engine.processor.Processor` for `audits`."""

    name = "audits"
    topic = TOPIC
    ticks = NO_TICKS

    def decode(self, entry: Entry) -> WantedRun | None:
        """Raises Rejected for what is no run."""
        found = requested(entry.record.body)
        if found is None:
            raise Rejected("unknown_audit")
        return WantedRun(entry.record.headers["shop"], found, entry.record.time_ms)

    def apply(self, transaction: Transaction, events: Sequence[WantedRun], now_ms: int) -> None:
        """A run that comes while one of its type is at work is dropped."""
        for shop, wanted, time_ms in events:
            ledger.begin(transaction, shop, wanted.type, wanted.run_id, wanted.days, time_ms)

    def tick(self, transaction: Transaction, now_ms: int, shop: str | None = None) -> None:
        """Nothing depends on time."""
