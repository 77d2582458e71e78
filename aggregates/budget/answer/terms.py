"""The terms on which the campaigns of a shop are judged."""

from dataclasses import dataclass
from typing import Final

from aggregates.budget.advice.evidence import CAUTION
from aggregates.budget.advice.kelly import Caution
from aggregates.budget.advice.sizing import BudgetLimits
from aggregates.budget.answer.coverage import Coverage
from aggregates.budget.answer.window import Window

MEMORY_DAYS: Final = 60
"""Days before the judged ones that may be remembered if those hold few orders."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The windows, the money and the caution of one answer.

    Money in minor units of `currency`, the shop's; None if the merchant has not set it.
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
    def limits(self) -> BudgetLimits | None:
        """The bounds of the budgets; None without a bankroll, when nothing is advised."""
        if self.bankroll is None:
            return None
        return BudgetLimits(self.bankroll, self.seed, self.max_change, self.caution)
