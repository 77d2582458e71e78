"""Store queries of `GET /v1/budget`."""

from aggregates.budget.answer.campaigns import BudgetCell, CurrencyCount, SetBudget
from aggregates.budget.answer.window import Window
from aggregates.budget.projection import NAME
from processors.engine.projection import live_key
from stream.store.contract import Snapshot


def read_cells(snapshot: Snapshot, shop: str, window: Window) -> list[BudgetCell]:
    """The campaign-days of `window`."""
    rows = snapshot.query(
        f"SELECT {', '.join(BudgetCell._fields)} FROM budget_cell "
        "WHERE shop = :shop AND day >= :first AND day <= :last",
        shop=live_key(snapshot, shop, NAME),
        first=window.first,
        last=window.last,
    )
    return [BudgetCell(*row) for row in rows]


def read_currencies(snapshot: Snapshot, shop: str) -> list[CurrencyCount]:
    """Orders and spend reports of each currency, over all days: an answer's days do not matter."""
    rows = snapshot.query(
        "SELECT currency, SUM(orders), SUM(reports) FROM budget_cell WHERE shop = :shop "
        "GROUP BY currency",
        shop=live_key(snapshot, shop, NAME),
    )
    return [CurrencyCount(code, int(orders), int(reports)) for code, orders, reports in rows]


def read_first_order_day(snapshot: Snapshot, shop: str) -> int | None:
    """The shop's first day with an order."""
    rows = snapshot.query(
        "SELECT day FROM budget_cell WHERE shop = :shop AND orders > 0 ORDER BY day LIMIT 1",
        shop=live_key(snapshot, shop, NAME),
    )
    return rows[0][0] if rows else None


BUDGET_DAYS = 28
"""Platforms are asked for so many days again; a budget beside an older day is not known to hold."""


def read_set_budgets(snapshot: Snapshot, shop: str, today_day: int) -> list[SetBudget]:
    """Daily budgets that were reported beside one of the last days."""
    rows = snapshot.query(
        "SELECT channel, campaign_id, campaign_name, day, currency, daily_budget FROM budget_spend "
        "WHERE shop = :shop AND day > :after AND daily_budget IS NOT NULL",
        shop=shop,
        after=today_day - BUDGET_DAYS,
    )
    return [SetBudget(*row) for row in rows]


def read_account_zones(snapshot: Snapshot, shop: str, window: Window) -> list[str]:
    """Time zones in the spend reports of `window`."""
    rows = snapshot.query(
        "SELECT DISTINCT time_zone FROM budget_spend WHERE shop = :shop "
        "AND day >= :first AND day <= :last AND time_zone <> ''",
        shop=shop,
        first=window.first,
        last=window.last,
    )
    return sorted(row[0] for row in rows)
