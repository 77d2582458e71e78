"""The order as an entity: the newest snapshot, the union of all refunds seen, and whether it was
deleted. Each part only grows in one direction, so duplicates, retries and any order of arrival end
in the same state."""

import json

from processors.orders.customer import GUEST, REDACTED, customer_key, email_key
from processors.orders.row import OrderRow, blank
from processors.shopify.landing import reduced
from processors.shopify.orders import Order, OrderDeleted, OrderEvent, Refund, RefundCreated
from processors.shopify.tolerance import millis


def net(row: OrderRow) -> int:
    """What the merchant keeps of the order, minor units, at least 0.

    `current_total` already lacks what was returned or edited away, but not money given back without
    a return (docs/facts/shopify.md, "Orders", "Refunds"). So

        still returned = worth of what was returned by refunds that the snapshot does not list
        without return = max(0, money of all refunds - worth of what all refunds returned)
        edited away    = max(0, total - current_total - worth returned by the snapshot's refunds)
        net            = current_total - max(0, still returned + without return - edited away)

    Money and worth are summed over all refunds before they are compared: one refund may take the
    goods back and a later one the money, or give back a fee that the first one kept. A refund
    without returned lines may be the money for what an edit took off, and one that the snapshot
    does not list may be what its `current_total` lacks already.
    """
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


def paid_back(row: OrderRow) -> int:
    """Money that all refunds gave back, minor units; what was given back for goods included."""
    return sum(money for money, _, _ in _in_own_currency(row)) if row.refunds else 0


def _in_own_currency(row: OrderRow) -> list[list[int]]:
    """The order's refunds, each once: [money, worth returned, known]."""
    by_id: dict[str, list[int]] = {}
    for key, other in json.loads(row.refunds).items():
        refund_id, _, currency = key.partition(" ")
        if currency in ("", row.currency):
            by_id[refund_id] = [*map(max, by_id.get(refund_id, other), other)]
    return list(by_id.values())


def _merged_refunds(refunds: str, other: tuple[Refund, ...], currency: str, *, newest: bool) -> str:
    """The union by id and currency; of two amounts the larger (a refund's transaction succeeds
    later, never un-succeeds).

    A `refunds/create` may have only the buyer's currency. Refunds in another currency than the
    order's are not counted: the order's own snapshots have the same refund in shop money.
    """
    if not refunds and not other:
        return ""
    known: dict[str, list[int]] = json.loads(refunds) if refunds else {}
    if newest:
        for entry in known.values():
            entry[2] = 0
    for refund in other:
        entry = known.setdefault(f"{refund.id} {currency}", [0, 0, 0])
        entry[0], entry[1] = max(entry[0], refund.amount), max(entry[1], refund.returned)
        if newest:
            entry[2] = 1
    return json.dumps(known, sort_keys=True, separators=(",", ":"))


def _landing(row: OrderRow | None, event: Order) -> str:
    """The landing site from any state: an order has one for ever, and Shopify Events have none
    until Shopify has attributed the visit. Of several the longest."""
    other, known = reduced(event.landing_site), row.landing if row is not None else ""
    if not known or other == known:
        return other
    return max(other, known, key=lambda landing: (len(landing), landing))


def fold(row: OrderRow | None, event: OrderEvent) -> OrderRow:
    """The order's next state. Commutative, associative and idempotent."""
    if isinstance(event, Order):
        if row is not None and event.version <= (row.updated_us, row.triggered, row.digest):
            refunds = _merged_refunds(row.refunds, event.refunds, event.currency, newest=False)
            landing = _landing(row, event)
            if refunds == row.refunds and landing == row.landing:
                return row
            return row._replace(refunds=refunds, landing=landing)
        return _snapshot(row, event)
    if isinstance(event, RefundCreated):
        row = row or blank(event.shop, event.order_id)
        currency = event.currency or ""
        refunds = _merged_refunds(row.refunds, (event.refund,), currency, newest=False)
        return row._replace(refunds=refunds)
    if isinstance(event, OrderDeleted):
        return (row or blank(event.shop, event.order_id))._replace(deleted=1)
    raise TypeError(f"{type(event).__name__} is not about one order")


def _snapshot(row: OrderRow | None, event: Order) -> OrderRow:
    """The newest snapshot, with the deletion and the refunds that are known already."""
    deleted, refunds = (row.deleted, row.refunds) if row is not None else (0, "")
    redacted = row is not None and row.customer.removeprefix(GUEST).startswith(REDACTED)
    new = OrderRow(
        shop=event.shop,
        order_id=event.order_id,
        updated_us=event.version.updated_us,
        triggered=event.version.triggered,
        digest=event.version.digest,
        deleted=deleted,
        test=int(event.test),
        cancelled=int(event.cancelled),
        financial_status=event.financial_status,
        processed_ms=millis(event.processed_at),
        offset_s=event.offset_s,
        day=event.day,
        currency=event.currency,
        total=event.total,
        current_total=event.current_total,
        refunds=_merged_refunds(refunds, event.refunds, event.currency, newest=True),
        customer=customer_key(event),
        email=email_key(event.email),
        checkout_token=event.checkout_token or "",
        cart_token=event.cart_token or "",
        name=event.name,
        source_name=event.source_name or "",
        country=event.country,
        province=event.province,
        landing=_landing(row, event),
        detail=event.detail,
    )
    if row is None or not redacted:
        return new
    # Who was redacted stays so, whatever is still delivered of their order.
    return new._replace(
        customer=row.customer,
        email="",
        checkout_token=row.checkout_token,
        cart_token=row.cart_token,
    )
