"""What a field's answer may look at: books, the app's rights, bulk operations, the clock."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simulator.admin.access import Access
from simulator.admin.books import Books
from simulator.admin.bulk import BulkOperations


@dataclass(slots=True)
class World:
    """One shop as the app sees it."""

    books: Books
    access: Access
    bulk: BulkOperations
    clock: Callable[[], float]
    """Unix seconds."""
    version: str = "2026-10"
    sorts_slowly: bool = False
    """Whether a search by another time than the one sorted by times out, as in large shops."""


Field = Callable[[World, dict[str, Any]], Any]
