"""What a step of an audit is given, and what it gives back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from orderwire.settings.program import Settings, ShopSettings
from processors.audits.run import Issue
from stream.store.contract import Store

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Audited:
    """The shop, and what earlier steps of the run found."""

    settings: Settings
    shop: ShopSettings
    store: Store
    days: int
    now_ms: int
    results: Mapping[str, Any]
    """Results of the steps before, by name."""
    shared: dict[str, Any] = field(default_factory=dict)
    """What a step has loaded and later ones of the run may use; gone where the run is resumed."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step came to. `result` is shown with the step, `summary` with the run."""

    result: Json
    issues: tuple[Issue, ...] = ()
    summary: Json = field(default_factory=dict)


class StepFailed(Exception):
    """The step cannot be done, and trying again would not help: the run ends with this issue."""

    def __init__(self, message: str, action: str) -> None:
        super().__init__(message)
        self.issue = Issue("critical", message, action)


class TryAgain(Exception):
    """The step failed for a reason that may pass. The message says what, without personal data."""


Step = Callable[[Audited], StepResult]


def last_four(secret: str) -> str:
    """A secret as it may be shown."""
    return f"…{secret[-4:]}" if len(secret) > 8 else "…"


def number(money: Json | None) -> float | None:
    """An amount as a number, which is what dashboards of before expect of a summary."""
    return None if money is None else float(money["amount"])
