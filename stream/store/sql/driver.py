"""What is used of a database driver's own connection."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol


class Cursor(Protocol):
    """What is used of a driver's cursor."""

    @property
    def rowcount(self) -> int: ...
    @property
    def description(self) -> Sequence[Sequence[Any]] | None: ...
    def fetchall(self) -> list[Any]: ...


class Driver(Protocol):
    """A driver's own connection, within a transaction.

    SQLAlchemy's statements took 45 % of a batch of one.
    """

    def execute(self, sql: str, parameters: Any = ..., /) -> Cursor: ...


Check = Callable[[int], None]
"""Gets the number of rows that a statement touched; raises what that means."""


class WritePool(Protocol):
    """The connections of a process that write."""

    def transaction(self) -> AbstractContextManager[Driver]:
        """Commits when the block ends, rolls back when it raises. Raises the driver's errors, and
        SQLAlchemy's of connecting."""
        ...

    def close(self) -> None:
        """Close them, once nobody writes."""
        ...
