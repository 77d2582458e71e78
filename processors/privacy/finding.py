"""Finds a person's customers, orders, and tokens of checkouts and carts in the store."""

from collections.abc import Collection, Iterator
from typing import Any, Final

import msgspec

from processors.orders.customer import GUEST
from processors.orders.row import SETTLED, OrderRow
from processors.privacy.subject import Subject, is_redacted
from stream.store.contract import Reading

AT_ONCE = 400


def found(reading: Reading, shop: str, subject: Subject) -> Subject:
    """The subject with everything that the store links to it."""
    if subject.everybody:
        return subject
    customers, emails = set(subject.customers), set(subject.emails)
    for row in SETTLED.by_id(reading, shop, subject.orders).values():
        if row.customer and not is_redacted(row.customer):
            known = emails if row.customer.startswith(GUEST) else customers
            known.add(row.customer.removeprefix(GUEST))
    head = subject.head
    if customers:
        for by in ("deleted", "kept", "deleted"):
            for row in _rows(reading, "customer_alias", "deleted, kept", by, shop, customers):
                customers |= {row.deleted, row.kept}
                head = row.kept
    subject = msgspec.structs.replace(
        subject, customers=tuple(sorted(customers)), emails=tuple(sorted(emails)), head=head
    )
    orders, tokens = set(subject.orders), set(subject.tokens)
    columns = "order_id, checkout_token, cart_token"
    for column, values in (
        ("customer", subject.customer_keys),
        ("email", emails),
        ("order_id", set(orders)),
    ):
        for row in _rows(reading, "shop_order", columns, column, shop, values):
            orders.add(row.order_id)
            tokens |= {row.checkout_token, row.cart_token}
    orders |= {row.order_id for row in _packed(reading, shop, subject.customer_keys, emails)}
    subjects = link_subjects(subject)
    for row in _rows(reading, "cart_checkout", "token, cart_token", "customer", shop, subjects):
        tokens |= {row.token, row.cart_token}
    for row in _rows(reading, "cart_checkout", "token, cart_token", "token", shop, tokens - {""}):
        tokens |= {row.token, row.cart_token}
    return msgspec.structs.replace(
        subject, orders=tuple(sorted(orders)), tokens=tuple(sorted(tokens - {""}))
    )


def _packed(
    reading: Reading, shop: str, customers: Collection[str], emails: Collection[str]
) -> Iterator[OrderRow]:
    """Packed orders of these customers, or with one of these addresses (hashed)."""
    yield from SETTLED.of_subject(reading, shop, set(customers))
    if emails:
        yield from (row for row in SETTLED.everything(reading, shop) if row.email in emails)


COUNTED: Final = (
    ("orders", "shop_order", "order_id", "orders"),
    ("checkouts", "cart_checkout", "token", "tokens"),
    ("events", "outbox", "order_id", "orders"),
    ("contacts", "contact", "customer", "customer_keys"),
    ("browser", "browser_fact", "token", "tokens"),
)
"""What is shown, its table, a column, and the attribute of `Subject` with its values."""


def counted(reading: Reading, shop: str, subject: Subject) -> dict[str, int]:
    """Number of rows that the store has of the subject, by kind."""
    counts = {}
    for name, table, column, attribute in COUNTED:
        if subject.everybody:
            rows = reading.query(f"SELECT COUNT(*) FROM {table} WHERE shop = :shop", shop=shop)
        else:
            values = sorted(getattr(subject, attribute))
            rows = list(_rows(reading, table, "COUNT(*)", column, shop, values))
        counts[name] = sum(row[0] for row in rows)
    if subject.everybody:
        counts["orders"] += SETTLED.counts(reading, shop).get(shop, 0)
    else:
        counts["orders"] = len(SETTLED.by_id(reading, shop, subject.orders))
    return counts


def link_subjects(subject: Subject) -> list[str]:
    """The person's subjects in `cart_link`."""
    return [
        *(f"customer:{each}" for each in subject.customers),
        *(f"email:{each}" for each in subject.emails),
    ]


def _rows(
    reading: Reading, table: str, columns: str, by: str, shop: str, values: Collection[str]
) -> Iterator[Any]:
    asked = sorted(values)
    for start in range(0, len(asked), AT_ONCE):
        page = {f"v{number}": each for number, each in enumerate(asked[start : start + AT_ONCE])}
        yield from reading.query(
            f"SELECT {columns} FROM {table} WHERE shop = :shop"
            # As the partial indexes of checkouts say it.
            f" AND {by} <> '' AND {by} IN ({', '.join(f':{name}' for name in page)})",
            shop=shop,
            **page,
        )
