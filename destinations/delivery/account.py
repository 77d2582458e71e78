"""A configured account: who receives a shop's events, and how."""

from dataclasses import dataclass, field
from typing import Any


class SettingsError(ValueError):
    """A setting that cannot be honoured. The message begins with its name, says what to write
    instead, and never holds a secret."""


@dataclass(frozen=True, slots=True)
class Account:
    """One account of one shop at one destination."""

    shop: str
    name: str
    """Unique within its shop, for example `warehouse` or `outlet`."""
    kind: str
    settings: Any = field(repr=False)
    """An instance of the kind's own model."""
