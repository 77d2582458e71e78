"""Decides which days of a shop are known: those with both spend and orders.

A day counts for a channel if that channel reported spend. Orders are known from the shop's first
order up to the newest one, or up to today if the pause since is an ordinary one.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from aggregates.budget.answer.campaigns import BudgetCell
from aggregates.budget.answer.window import Window

MISSED_ORDERS: Final = 7.0
"""A pause in which so many orders were expected is no chance: e^-7 is one in a thousand."""
QUIET_DAYS: Final = 3
"""Yet so many days without an order may be a weekend."""
USUAL_DAYS: Final = 28
"""The days before a pause that set the usual number of orders."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """`spend` has the days that each channel reported; `orders` is None without any order."""

    spend: dict[str, frozenset[int]]
    orders: Window | None
    orders_stopped: bool = False
    """The shop's orders ended so abruptly that they must be missing."""

    def known(self, channel: str, window: Window) -> list[int]:
        """Days of `window` on which the channel's spend and the shop's orders are known."""
        return self._known(self.spend.get(channel, frozenset()), window)

    def known_anywhere(self, window: Window) -> list[int]:
        """The same if any channel reported spend."""
        return self._known(frozenset[int]().union(*self.spend.values()), window)

    def _known(self, reported: frozenset[int], window: Window) -> list[int]:
        if self.orders is None:
            return []
        first = max(window.first, self.orders.first)
        last = min(window.last, self.orders.last)
        return [day for day in range(first, last + 1) if day in reported]

    def newest_report(self, channel: str, before: int) -> int | None:
        """The newest day before `before` that the channel reported."""
        days = [day for day in self.spend.get(channel, ()) if day < before]
        return max(days, default=None)

    def stopped(self, channel: str, today: int, grace_days: int) -> int | None:
        """The channel's last reported day, where reports are overdue by more than the grace."""
        days = self.spend.get(channel)
        if not days or max(days) >= today - 1 - grace_days:
            return None
        return max(days)


def coverage(cells: Iterable[BudgetCell], today: int, first_order: int | None = None) -> Coverage:
    """The coverage of a shop's cells. `first_order` is the shop's first day with an order, if that
    is before the cells' days."""
    reported, orders = defaultdict[str, set[int]](set), defaultdict[int, int](int)
    for cell in cells:
        if cell.reports:
            reported[cell.channel].add(cell.day)
        if cell.orders:
            orders[cell.day] += cell.orders
    spend = {channel: frozenset(days) for channel, days in reported.items()}
    if not orders:
        return Coverage(spend, None)
    first = min(orders) if first_order is None else min(first_order, min(orders))
    newest = max(orders)
    stopped = _stopped(orders, first, newest, today)
    return Coverage(spend, Window(first, newest if stopped else max(today, newest)), stopped)


def _stopped(orders: Mapping[int, int], first: int, newest: int, today: int) -> bool:
    since = max(first, newest - USUAL_DAYS + 1)
    usual = sum(orders[day] for day in orders if day >= since) / (newest - since + 1)
    silent_days = today - 1 - newest
    return silent_days >= QUIET_DAYS and usual * silent_days > MISSED_ORDERS
