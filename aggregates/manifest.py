"""An aggregate's declaration of itself, the only place that registry, rebuilds, `/v1/status`, the
API and the proofs read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from processors.engine.feed import Feed
from processors.engine.projection import Projection
from stream.store.contract import Cells, Entities


@dataclass(frozen=True, slots=True)
class FoldSettings:
    """Settings that folds may depend on. `zones` and `currencies` are of the shops that have one
    set."""

    zones: Mapping[str, ZoneInfo] = field(default_factory=dict)
    currencies: Mapping[str, str] = field(default_factory=dict)
    rfm_window_days: int = 365
    abandoned_after_minutes: int = 60


@dataclass(frozen=True, slots=True)
class Manifest:
    """An aggregate."""

    name: str
    version: int
    """Of the formula: raised whenever the same rows would count otherwise."""
    feeds: tuple[Feed, ...]
    """The processors whose positions say how fresh its answers are."""
    projection: Callable[[FoldSettings], Projection]
    entities: tuple[Entities[Any], ...]
    """Rows of its own besides the cells."""
    cells: tuple[Cells, ...]
    answers: str
    """The module with its `ANSWERS`; only the query role imports it."""
