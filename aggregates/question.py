"""The seam between the API and an aggregate's answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from msgspec import Struct

from aggregates.parameters import Parameter
from stream.store.contract import Snapshot

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """The inputs of an answer."""

    reading: Snapshot
    shop: str
    now_ms: int
    today: int
    """The shop's day, days since 1970-01-01."""
    values: Json
    """The parameters by name."""
    settings: Any
    """The shop's (`query/api_settings.py`, `ShopAnswerSettings`)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One path of the API. `answer` returns its members except `shop` and `as_of`."""

    path: str
    summary: str
    answer: Callable[[Question], Struct] | None
    """None: the query role has a handler for the path, which answers from memory."""
    schema: type[Struct]
    """The type of what `answer` gives."""
    parameters: tuple[Parameter, ...] = ()
    media_types: tuple[str, ...] = ("application/json",)
