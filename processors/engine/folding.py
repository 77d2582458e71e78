"""Finds the shop, and its records, that make a batch fail: shops first, then halves of one shop.

All of it happens in savepoints of one transaction, which the caller rolls back. A shop with more
than a few bad records is given up, so a search costs other shops about one batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from processors.engine.decoding import Decoded, Failed, by_shop, events_of
from processors.engine.processor import Processor
from processors.shopify.tolerance import Rejected
from stream.store.contract import OutOfRange, StoreError, Transaction, Unstorable

Event = TypeVar("Event")
SUM_OUT_OF_RANGE = "sum_out_of_range"


@dataclass(slots=True)
class SearchResult(Generic[Event]):
    """The result of a search."""

    groups: list[list[Decoded[Event]]] = field(default_factory=list)
    """Entries that could be folded, each group with one call of `apply`."""
    bad: dict[str, Rejected] = field(default_factory=dict)
    """By place: the reason why this entry cannot be folded."""
    given_up: set[str] = field(default_factory=set)
    """Shops with more than `at_most` of those; nothing of theirs is in the other two."""


class _GivenUp(Exception):
    """The shop has too many bad records for one search."""


def search(
    processor: Processor[Event],
    transaction: Transaction,
    decoded: Sequence[Decoded[Event]],
    now_ms: int,
    at_most: int,
) -> SearchResult[Event]:
    """Find the records that cannot be folded, at most `at_most` of a shop. Raises StoreError."""
    found = SearchResult[Event]()
    for shop, of_shop in by_shop(decoded).items():
        to_fold = [each for each in of_shop if events_of((each,))]
        one = _OneShop(processor, transaction, now_ms, at_most)
        try:
            with transaction.savepoint():
                if to_fold:
                    one.fold(to_fold)
        except _GivenUp:
            found.given_up.add(shop)
        else:
            found.groups += one.groups
            found.bad |= one.bad
    return found


@dataclass(slots=True)
class _OneShop(Generic[Event]):
    processor: Processor[Event]
    transaction: Transaction
    now_ms: int
    at_most: int
    groups: list[list[Decoded[Event]]] = field(default_factory=list)
    bad: dict[str, Rejected] = field(default_factory=dict)

    def fold(self, entries: list[Decoded[Event]]) -> None:
        try:
            with self.transaction.savepoint():
                self.processor.apply(self.transaction, events_of(entries), self.now_ms)
        except StoreError:
            raise
        except Exception as error:
            if len(entries) == 1:
                self._note(entries[0], error)
                return
            middle = len(entries) // 2
            self.fold(entries[:middle])
            self.fold(entries[middle:])
        else:
            self.groups.append(entries)

    def _note(self, bad: Decoded[Any], error: Exception) -> None:
        if len(self.bad) == self.at_most:
            raise _GivenUp
        self.bad[bad.entry.place] = _reason(error)


def _reason(error: Exception) -> Rejected:
    """A value that the database cannot hold is the sender's fault, like a Rejected; the rest is
    ours."""
    if isinstance(error, Rejected):
        return error
    if isinstance(error, OutOfRange):
        return Rejected(SUM_OUT_OF_RANGE, str(error))
    name = f"fold_failed_{type(error).__name__}"
    return Rejected(name) if isinstance(error, Unstorable) else Failed(name)
