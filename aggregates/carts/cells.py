"""In which cells a checkout counts, and with how much. Everything that `aggregates/carts/answer/overview.py` tells comes from these sums.

`cart_open`    (10-minute bucket of the last touch, value bin, is_returning, contact, idled): open checkouts and their value.
`cart_closed`  (state, value bin, is_returning, contact): closed checkouts and their value; their orders known in the same currency, the
               value of those checkouts and what the orders are worth; those that had ever been idle for 10 minutes.
`cart_spell`   (value bin, is_returning, age bin): idle spells that ended at that age, by the order or otherwise.
`cart_cohort`  (hour in which the checkout first counted as abandoned, how long after it was ordered): checkouts.

Shop and currency come first in every key. `idled` is the row's, so of an open checkout without its present idleness: that is the bucket's,
and time passing writes nothing. `cart_spell` and `cart_cohort` hold what is over, and the reader adds what the open ones have come to.

Spells are what hazards are made of: each time a checkout was left lying is one trial, which ends in the order (at the age at which the
buyer came back to make it), in a visit without order, in an order elsewhere, or undecided. Bands of value are not in the key: fixed
thresholds would suit no shop and moving ones would move cells, so there are bins of fixed width and the reader draws the thirds.
"""

from typing import Final

from aggregates.carts.fold.idle import HOUR_MS, MINUTE_MS, age_bin, before, parsed, pauses
from aggregates.carts.fold.state import CheckoutRow, value_bin
from processors.engine.processor import Counted
from stream.store.contract import Cells, Key

OPEN: Final = Cells(
    "cart_open",
    ("shop", "currency", "bucket", "value_bin", "is_returning", "contact", "idled"),
    ("carts", "value"),
)
CLOSED_CARTS: Final = Cells(
    "cart_closed",
    ("shop", "currency", "state", "value_bin", "is_returning", "contact"),
    ("carts", "value", "orders", "ordered", "revenue", "idled"),
)
SPELLS: Final = Cells(
    "cart_spell",
    ("shop", "currency", "value_bin", "is_returning", "age"),
    ("completed", "censored"),
)
COHORTS: Final = Cells("cart_cohort", ("shop", "currency", "hour", "outcome"), ("carts",))
MATURITY_H: Final = (1, 24, 72, 168)
DIRECT_LATE, ASSISTED, NOT_RECOVERED = len(MATURITY_H), 10, 20
"""Outcomes in `cart_cohort`: 0 to 3 ordered within 1, 24, 72, 168 h, 4 later; the same plus 10 for assisted; 20 not recovered so far."""


def cells(row: CheckoutRow | None) -> list[Counted]:
    """The cells of a settled row. `aggregate == sum(cells(row))` over all rows, always."""
    if row is None or not row.state:
        return []
    # A foreign checkout takes its order's amount, so it tells nothing of how the two compare.
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

    A checkout tells its prices in the buyer's currency alone (`processors/shopify/checkouts.py`).
    """
    if row.revenue < 0 or row.revenue_currency == row.currency:
        return row
    return row._replace(
        currency=row.revenue_currency, value=row.revenue, value_bin=value_bin(row.revenue)
    )


def _direct(row: CheckoutRow) -> bool:
    """Whether it was closed by its own order (a `completed` one may have been closed by the customer's order elsewhere)."""
    return row.state in ("completed", "recovered_direct") and row.closed_ms in (
        row.completed_ms,
        row.order_ms,
        row.cart_order_ms,
    )


def _spells(row: CheckoutRow, idle: list[tuple[int, int]], *, direct: bool) -> list[Counted]:
    ends = [(age_bin(length), False) for _, length in idle]
    if direct:
        ends[-1] = (ends[-1][0], True)
        if len(ends) > 1 and ends[-1][0] == 0:
            # The buyer came back and bought at once: that visit's pause before it ended in the order, too.
            ends[-2] = (ends[-2][0], True)
    return [
        (
            SPELLS,
            (row.shop, row.currency, row.value_bin, row.is_returning, age),
            (int(ordered), int(not ordered)),
        )
        for age, ordered in ends
    ]


def _outcome(row: CheckoutRow, abandoned_ms: int) -> int:
    if row.state not in ("recovered_direct", "recovered_assisted"):
        return NOT_RECOVERED
    waited_ms = row.closed_ms - abandoned_ms
    within = next(
        (i for i, hours in enumerate(MATURITY_H) if waited_ms <= hours * HOUR_MS), DIRECT_LATE
    )
    return within + (ASSISTED if row.state == "recovered_assisted" else 0)
