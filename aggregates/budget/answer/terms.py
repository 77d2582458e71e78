"""On what the campaigns of a shop are judged."""

from dataclasses import dataclass
from typing import Final

from aggregates.budget.advice.evidence import CAUTION
from aggregates.budget.advice.kelly import Caution
from aggregates.budget.advice.sizing import Limits
from aggregates.budget.answer.coverage import Coverage
from aggregates.budget.answer.window import Window

MEMORY_DAYS: Final = 60
"""So many days before the judged ones may be remembered, where those hold few orders."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The windows, the money and the caution of one answer.

    Money in minor units of `currency`, the shop's; None where the merchant has not set it.
    """

    currency: str
    bankroll: int | None
    margin: float | None
    seed: int
    max_change: float
    immature_days: int
    recent: Window
    """The days that are shown, today the last."""
    mature: Window
    """The days that may be judged."""
    coverage: Coverage
    order_value: float = 0.0
    """The shop's average order value, 0 where it had no order."""
    caution: Caution = CAUTION

    @property
    def remembered(self) -> Window:
        """The days before the judged ones."""
        return Window(self.mature.first - MEMORY_DAYS, self.mature.first - 1)

    @property
    def limits(self) -> Limits | None:
        """What bounds the budgets; None without a bankroll, where nothing is advised."""
        if self.bankroll is None:
            return None
        return Limits(self.bankroll, self.seed, self.max_change, self.caution)
