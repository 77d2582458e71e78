"""A configured account: who receives a shop's events, and how."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Account:
    """One account of one shop at one destination."""

    shop: str
    name: str
    """Unique within its shop, for example `meta` or `meta_outlet`."""
    kind: str
    settings: Any = field(repr=False)
    """An instance of the kind's own model."""
