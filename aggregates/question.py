"""How the API asks an aggregate, and what an aggregate declares of its answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from aggregates.parameters import Parameter
from stream.store.contract import Snapshot

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """What an answer may go by."""

    reading: Snapshot
    shop: str
    now_ms: int
    today: int
    """The shop's day, days since 1970-01-01."""
    values: Json
    """The parameters by name."""
    settings: Any
    """The shop's (`query/api_settings.py`, `ShopSettings`)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One path of the API. `answer` gives its members but `shop` and `as_of`."""

    path: str
    summary: str
    answer: Callable[[Question], Struct] | None
    """None: the query role has a handler for the path, which answers from memory."""
    schema: type[Struct]
    """The type of what `answer` gives."""
    parameters: tuple[Parameter, ...] = ()
    media_types: tuple[str, ...] = ("application/json",)
