"""Decides what a record that names a redacted person may still change when it is read late. Marks
are looked up only in a store that has any.

| event | effect |
|---|---|
| an order made before the redaction | counts under the person's anonymous key; nothing is sent |
| the person's checkout, cart or post from before | none |
| anything made later | as of anybody: a new relationship |
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from processors.orders.customer import GUEST, email_key
from processors.privacy.rows import MARKS, RedactedMarkRow
from processors.privacy.subject import CUSTOMER_ID, EMAIL, ORDER_ID, TOKEN, mark
from processors.shopify.orders import Order
from processors.shopify.tolerance import micros
from stream.store.contract import Reading, Transaction

Named = tuple[str, str, str]
"""(shop, kind of mark, value)."""
ANY: Final = "SELECT 1 FROM redacted_mark LIMIT 1"
SALT: Final = "SELECT salt FROM redaction_salt"


def salt_of(reading: Reading) -> str:
    """The store's salt; "" before its first redaction."""
    found = reading.query(SALT)
    return str(found[0].salt) if found else ""


def made_salt(transaction: Transaction, new: str) -> str:
    """The store's salt, `new` where it has none yet."""
    transaction.execute(
        "INSERT INTO redaction_salt (id, salt) VALUES (1, :salt) ON CONFLICT (id) DO NOTHING",
        salt=new,
    )
    return salt_of(transaction)


def marks_of(transaction: Transaction, named: Collection[Named]) -> Mapping[Named, RedactedMarkRow]:
    """The marks of those that were redacted."""
    if not named or not transaction.query(ANY):
        return {}
    salt = salt_of(transaction)
    by_mark = {
        (shop, mark(salt, shop, kind, value)): (shop, kind, value) for shop, kind, value in named
    }
    found = transaction.load(MARKS, by_mark, shared=True)
    return {by_mark[row.shop, row.mark]: row for row in found.values()}


def names_of(order: Order) -> list[Named]:
    """The names by which marks may recognise an order, the person's first."""
    named = [(order.shop, ORDER_ID, order.order_id)]
    if order.customer_id:
        named.insert(0, (order.shop, CUSTOMER_ID, order.customer_id))
    if order.email:
        named.insert(-1, (order.shop, EMAIL, email_key(order.email)))
    return named


def redacted_orders(
    transaction: Transaction, orders: Sequence[Order]
) -> dict[tuple[str, str], RedactedMarkRow]:
    """By (shop, order id): the mark of orders that a redaction covers."""
    if not transaction.query(ANY):
        return {}  # Before names are made, which most stores never need.
    marks = marks_of(transaction, {name for order in orders for name in names_of(order)})
    if not marks:
        return {}
    found: dict[tuple[str, str], RedactedMarkRow] = {}
    for order in orders:
        hits = [row for name in names_of(order) if (row := marks.get(name)) is not None]
        made_ms = micros(order.processed_at) // 1000
        covering = [row for row in hits if made_ms <= row.asked_ms]
        if covering:
            found[order.shop, order.order_id] = next(
                (row for row in covering if row.anonymous), covering[0]
            )
    return found


def anonymised(order: Order, row: RedactedMarkRow) -> Order:
    """The order as it counts, without its person."""
    return msgspec.structs.replace(
        order,
        customer_id=row.anonymous or None,
        email=None,
        checkout_token=None,
        cart_token=None,
    )


def redacted_customers(
    transaction: Transaction, customers: Iterable[tuple[str, str]]
) -> Mapping[tuple[str, str], RedactedMarkRow]:
    """By (shop, customer key): the marks of those who were redacted."""
    named = {
        (shop, EMAIL, key.removeprefix(GUEST))
        if key.startswith(GUEST)
        else (shop, CUSTOMER_ID, key)
        for shop, key in customers
    }
    return {
        (shop, GUEST + value if kind == EMAIL else value): row
        for (shop, kind, value), row in marks_of(transaction, named).items()
    }


def redacted_tokens(
    transaction: Transaction, tokens: Iterable[tuple[str, str]]
) -> Mapping[tuple[str, str], RedactedMarkRow]:
    """By (shop, token of a checkout or cart): the marks of those that a redaction covers."""
    named = {(shop, TOKEN, token) for shop, token in tokens if token}
    return {(shop, value): row for (shop, _, value), row in marks_of(transaction, named).items()}
