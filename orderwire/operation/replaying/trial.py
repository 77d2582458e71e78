"""Tries records on processors, decode and fold, in a transaction that is rolled back."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import stamina

from processors.engine.decoding import Decoded, decode_all, events_of
from processors.engine.folding import SearchResult, search
from processors.engine.processor import Processor
from processors.shopify.tolerance import Rejected
from stream.record import Entry, Record
from stream.store.contract import Store, StoreUnavailable

Processors = Mapping[str, Sequence[Processor[Any]]]
"""By topic: the processors that would read a record there."""
ATTEMPTS: Final = 5
"""Of a transaction beside running processors, which may create the same rows first."""


class TrialRecord(NamedTuple):
    """A record, and the processors that are asked; none: all of its topic."""

    record: Record
    by: frozenset[str]


class _RolledBack(Exception):
    """Ends the transaction of a trial."""


def trial(
    store: Store, processors: Processors, asked: Sequence[TrialRecord], now_ms: int
) -> list[str | None]:
    """For each record why nobody who is asked would take it; None if one would, or if all ignore
    it. Blocks; raises StoreError."""
    taken: set[int] = set()
    reasons: dict[int, str] = {}
    for topic in sorted({each.record.topic for each in asked}):
        for processor in processors.get(topic, ()):
            numbered = [
                Entry(each.record, 0, number)
                for number, each in enumerate(asked)
                if each.record.topic == topic and (not each.by or processor.name in each.by)
            ]
            for entry, outcome in _tried(store, processor, numbered, now_ms):
                if isinstance(outcome, Rejected):
                    reasons[entry.offset] = outcome.reason
                elif outcome is not None:
                    taken.add(entry.offset)
    return [None if number in taken else reasons.get(number) for number in range(len(asked))]


def _tried(
    store: Store, processor: Processor[Any], entries: Sequence[Entry], now_ms: int
) -> list[Decoded[Any]]:
    decoded: list[Decoded[Any]] = decode_all(processor, entries)
    if not events_of(decoded):
        return decoded
    again = stamina.RetryingCaller(attempts=ATTEMPTS, wait_initial=0.05)
    found = again(StoreUnavailable, _folded, store, processor, decoded, now_ms)
    return [
        each._replace(outcome=found.bad.get(each.entry.place, each.outcome)) for each in decoded
    ]


def _folded(
    store: Store, processor: Processor[Any], decoded: Sequence[Decoded[Any]], now_ms: int
) -> SearchResult[Any]:
    found: SearchResult[Any] = SearchResult()
    try:
        with store.begin() as transaction:
            found = search(processor, transaction, decoded, now_ms, len(decoded))
            raise _RolledBack
    except _RolledBack:
        return found
