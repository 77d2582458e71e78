"""The cells of a checkout; carts are answered from their sums only.

Time passing writes nothing: open checkouts count by their last touch, and the reader adds the time
since. Value is in bins of fixed width; the reader draws bands through them, since moving bands
would move cells.
"""

from typing import Final

from processors.checkouts.idle import DAY_MS, HOUR_MS, MINUTE_MS, age_bin, before, parsed, pauses
from processors.checkouts.link import NEVER, LinkRow
from processors.checkouts.row import CheckoutRow
from processors.checkouts.state import value_bin
from processors.engine.processor import Counted, Projection
from stream.store.contract import Cells, Key

OPEN: Final = Cells(
    "cart_open",
    ("shop", "currency", "bucket", "value_bin", "is_returning", "contact", "idled"),
    ("carts", "value"),
)
"""Open checkouts by the 10 minutes of their last touch. `idled` is without the present idleness."""
CLOSED_CARTS: Final = Cells(
    "cart_closed",
    ("shop", "currency", "state", "value_bin", "is_returning", "contact"),
    ("carts", "value", "orders", "ordered", "revenue", "idled"),
)
"""Closed checkouts; their orders known in the same currency, the value of those checkouts and what
the orders are worth; those that had ever been idle for 10 minutes."""
SPELLS: Final = Cells(
    "cart_spell",
    ("shop", "currency", "value_bin", "is_returning", "age"),
    ("completed", "not_completed"),
)
"""Idle spells that are over, by their length: each time a checkout was left is one trial.

A spell is completed where the checkout was ordered within `RECOVERY_MS` of the spell's begin,
whatever visits and pauses lay between: a buyer who comes back may pause again before paying.
"""
LANDMARKS: Final = Cells(
    "cart_landmark", ("shop", "currency", "day", "age"), ("carts", "completed")
)
"""Idle spells that are over, once for each midnight (UTC) they lay across, with their age there:
what was open on that day, and how much of it was completed."""
COHORTS: Final = Cells("cart_cohort", ("shop", "currency", "hour", "outcome"), ("carts",))
"""Abandoned checkouts by the hour in which they first were, and how long after it they ordered."""
RECOVERY_MS: Final = 7 * DAY_MS
TABLES: Final = (OPEN, CLOSED_CARTS, SPELLS, LANDMARKS, COHORTS)
BEGUN: Final = Cells("cart_begun", ("shop",), ("carts", "reached"))
"""Carts known from carts/*, and how many of them reached the checkout."""
MATURITY_H: Final = (1, 24, 72, 168)
DIRECT_LATE, ASSISTED, NOT_RECOVERED = len(MATURITY_H), 10, 20
"""Outcomes in `cart_cohort`: 0 to 3 ordered within 1, 24, 72, 168 h, 4 later; the same plus 10 for
assisted; 20 not recovered so far."""


def cells(row: CheckoutRow | None) -> list[Counted]:
    """The cells of a settled row. `aggregate == sum(cells(row))` over all rows, always."""
    if row is None or not row.state:
        return []
    # A foreign checkout takes its order's amount, so the two cannot be compared.
    compared = row.revenue >= 0 and row.revenue_currency == row.currency
    row = in_shop_money(row)
    shop, currency, direct = row.shop, row.currency, _direct(row)
    idle: list[tuple[int, int]] = []
    if row.runs.count(" ") > 1:
        idle = pauses(before(row.runs, row.closed_ms) if direct else parsed(row.runs))
    counted: list[Counted] = []
    if row.state == "open":
        key: Key = (
            shop,
            currency,
            row.open_bucket,
            row.value_bin,
            row.is_returning,
            row.contact,
            row.idled,
        )
        counted.append((OPEN, key, (1, row.value)))
    else:
        idle.append((row.last_ms, row.closed_ms - row.last_ms))
        known = (1, row.value, row.revenue) if direct and compared else (0, 0, 0)
        key = (shop, currency, row.state, row.value_bin, row.is_returning, row.contact)
        counted.append((CLOSED_CARTS, key, (1, row.value, *known, int(row.idled > 0))))
    counted += _spells(row, idle, direct=direct)
    if row.idled == 2:
        after_ms = row.after_minutes * MINUTE_MS
        abandoned_ms = next(since for since, length in idle if length >= after_ms) + after_ms
        counted.append(
            (COHORTS, (shop, currency, abandoned_ms // HOUR_MS, _outcome(row, abandoned_ms)), (1,))
        )
    return counted


def in_shop_money(row: CheckoutRow) -> CheckoutRow:
    """A checkout in a foreign currency with its order's amount, once there is one.

    A checkout has prices in the buyer's currency only (`processors/shopify/checkouts.py`).
    """
    if row.revenue < 0 or row.revenue_currency == row.currency:
        return row
    return row._replace(
        currency=row.revenue_currency, value=row.revenue, value_bin=value_bin(row.revenue)
    )


def _direct(row: CheckoutRow) -> bool:
    """Whether it was closed by its own order: a `completed` one may have been by another order."""
    return row.state in ("completed", "recovered_direct") and row.closed_ms in (
        row.completed_ms,
        row.order_ms,
        row.cart_order_ms,
    )


def _spells(row: CheckoutRow, idle: list[tuple[int, int]], *, direct: bool) -> list[Counted]:
    """The cells of idle times that are over: (since, how long) each."""
    counted: list[Counted] = []
    for since, length in idle:
        completed = int(direct and row.closed_ms - since <= RECOVERY_MS)
        key: Key = (row.shop, row.currency, row.value_bin, row.is_returning, age_bin(length))
        counted.append((SPELLS, key, (completed, 1 - completed)))
        until = since + min(length, RECOVERY_MS)
        for midnight in range((since // DAY_MS + 1) * DAY_MS, until, DAY_MS):
            key = (row.shop, row.currency, midnight // DAY_MS, age_bin(midnight - since))
            counted.append((LANDMARKS, key, (1, completed)))
    return counted


def _outcome(row: CheckoutRow, abandoned_ms: int) -> int:
    if row.state not in ("recovered_direct", "recovered_assisted"):
        return NOT_RECOVERED
    waited_ms = row.closed_ms - abandoned_ms
    within = next(
        (i for i, hours in enumerate(MATURITY_H) if waited_ms <= hours * HOUR_MS), DIRECT_LATE
    )
    return within + (ASSISTED if row.state == "recovered_assisted" else 0)


def begun(row: LinkRow | None) -> Projection:
    """The cells of `cart_begun` of a link."""
    return (
        ()
        if row is None or row.begun_ms == NEVER
        else [(BEGUN, (row.shop,), (1, int(row.checkout != "")))]
    )
