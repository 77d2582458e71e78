"""The order as an entity: the newest snapshot, the union of all refunds seen, and whether it was
deleted.

Each part only grows in one direction, so duplicates, retries and any order of arrival end in the
same state.

`current_total` already lacks what was returned or edited away, but not money given back without a
return (docs/facts/shopify.md, "Orders", "Refunds"). So

    still returned = worth of what was returned by refunds that the snapshot does not list
    without return = max(0, money of all refunds - worth of what all refunds returned)
    edited away    = max(0, total - current_total - worth returned by the snapshot's refunds)
    net            = current_total - max(0, still returned + without return - edited away)

at least 0. Money and worth are summed over all refunds before they are compared: one refund may
take the goods back and a later one the money, or give back a fee that the first one kept. A refund
without returned lines may be the money for what an edit took off, and one that the snapshot does
not list may be what its `current_total` lacks already.

A `refunds/create` may lack the shop's currency and have only the buyer's. Refunds are kept by id
and currency, and those in another currency than the order's are not counted: the order's own
snapshots have the same refund in shop money.
"""

import json
from collections.abc import Callable
from typing import NamedTuple

from processors.shopify.orders import Order, OrderDeleted, OrderEvent, Refund, RefundCreated


class OrderRow(NamedTuple):
    """Columns of `rfm_order` and `budget_order`. Money in minor units of `currency`; no personal data."""

    shop: str
    order_id: str
    subject: str
    """For whom the order counts: a customer's key (RFM), an attribution (budget); "" where there is none."""
    updated_us: int
    """Version of the snapshot; -1 before any snapshot came."""
    triggered: str
    digest: str
    deleted: int
    valid: int
    """`is_valid` of the snapshot."""
    day: int
    currency: str
    total: int
    current_total: int
    refunds: str
    """JSON object {"id currency": [money, worth returned, 1 where the snapshot knows it]}, keys sorted; "" where there are none.

    Older rows have refunds under the id alone, all taken to be in the order's currency.
    """


VOID = frozenset({"voided"})


def blank(shop: str, order_id: str) -> OrderRow:
    """An order of which nothing is known yet."""
    return OrderRow(shop, order_id, "", -1, "", "", 0, 0, 0, "", 0, 0, "")


def is_valid(order: Order) -> bool:
    """Whether an order in this state is a sale: neither test, cancelled nor voided
    (docs/facts/analytics.md, "Which orders count")."""
    return not (order.test or order.cancelled or order.financial_status in VOID)


def counts(row: OrderRow | None) -> bool:
    """Whether the order counts at all. Refunds never take that away; they lower its money only."""
    return row is not None and row.updated_us >= 0 and bool(row.valid) and not row.deleted


def net(row: OrderRow) -> int:
    """What the merchant keeps of the order, minor units (module docstring)."""
    if not row.refunds:
        return max(0, row.current_total)
    paid_back = worth = worth_listed = 0
    for money, returned, listed in _in_own_currency(row):
        paid_back += money
        worth += returned
        worth_listed += returned if listed else 0
    edited_away = max(0, row.total - row.current_total - worth_listed)
    taken_off = worth - worth_listed + max(0, paid_back - worth)
    return max(0, row.current_total - max(0, taken_off - edited_away))


def _in_own_currency(row: OrderRow) -> list[list[int]]:
    """The order's refunds, each once: [money, worth returned, known]."""
    by_id: dict[str, list[int]] = {}
    for key, told in json.loads(row.refunds).items():
        refund_id, _, currency = key.partition(" ")
        if currency in ("", row.currency):
            by_id[refund_id] = [*map(max, by_id.get(refund_id, told), told)]
    return list(by_id.values())


def _merged_refunds(refunds: str, told: tuple[Refund, ...], currency: str, *, newest: bool) -> str:
    """The union by id and currency, the larger amount where two differ (a refund's transaction succeeds later, never un-succeeds)."""
    if not refunds and not told:
        return ""
    known: dict[str, list[int]] = json.loads(refunds) if refunds else {}
    if newest:
        for entry in known.values():
            entry[2] = 0
    for refund in told:
        entry = known.setdefault(f"{refund.id} {currency}", [0, 0, 0])
        entry[0], entry[1] = max(entry[0], refund.amount), max(entry[1], refund.returned)
        if newest:
            entry[2] = 1
    return json.dumps(known, sort_keys=True, separators=(",", ":"))


def merge(row: OrderRow | None, event: OrderEvent, subject: Callable[[Order], str]) -> OrderRow:
    """The order's next state. `subject` says for whom a snapshot counts. Commutative, associative and idempotent."""
    if isinstance(event, Order):
        if row is not None and event.version <= (row.updated_us, row.triggered, row.digest):
            refunds = _merged_refunds(row.refunds, event.refunds, event.currency, newest=False)
            return row if refunds == row.refunds else row._replace(refunds=refunds)
        deleted, known_refunds = (row.deleted, row.refunds) if row is not None else (0, "")
        return OrderRow(
            event.shop,
            event.order_id,
            subject(event),
            *event.version,
            deleted,
            int(is_valid(event)),
            event.day,
            event.currency,
            event.total,
            event.current_total,
            _merged_refunds(known_refunds, event.refunds, event.currency, newest=True),
        )
    if isinstance(event, RefundCreated):
        row = row or blank(event.shop, event.order_id)
        return row._replace(
            refunds=_merged_refunds(
                row.refunds, (event.refund,), event.currency or "", newest=False
            )
        )
    if isinstance(event, OrderDeleted):
        return (row or blank(event.shop, event.order_id))._replace(deleted=1)
    raise TypeError(f"{type(event).__name__} is not about one order")
