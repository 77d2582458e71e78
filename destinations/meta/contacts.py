"""Keeps hashed e-mail addresses and phone numbers by customer, for uploading a segment to Meta;
only of shops that allow it."""

from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Final, NamedTuple

from destinations.meta.event.detail import countries, detail
from destinations.meta.event.identity import hashed
from processors.engine.processor import NO_TICKS, fold_entities
from processors.orders.customer import customer_key
from processors.privacy.late import redacted_customers
from processors.shopify.orders import Order, decode_order
from stream.record import Entry
from stream.store.contract import Entities, Transaction


class ContactRow(NamedTuple):
    """Columns of `contact`."""

    shop: str
    customer: str
    """As in `rfm_customer`: an id, or a guest's key."""
    field: str
    """`em` or `ph`, Meta's names."""
    hash: str
    """SHA-256 of the normalised value, lower-case hex."""
    updated_us: int
    """Version of the order that had it (`processors/shopify/version.py`)."""
    triggered: str
    digest: str


CONTACTS: Final = Entities("contact", ContactRow, 3)


def contacts(order: Order, country: str | None) -> tuple[ContactRow, ...]:
    """The contacts in an order: of each field the first that can be normalised. `country` is the
    shop's own (ISO 3166)."""
    customer = customer_key(order)
    if not customer or order.test:
        return ()
    found = detail(order.raw)
    places = countries(found, country)
    rows = []
    for field, values in (("em", found.emails), ("ph", found.phones)):
        hash_ = next(
            (h for value in values if (h := hashed(field, value, *places)) is not None), None
        )
        if hash_ is not None:
            rows.append(ContactRow(order.shop, customer, field, hash_, *order.version))
    return tuple(rows)


def newest(row: ContactRow | None, other: ContactRow) -> ContactRow:
    """The one of the newer order. Commutative, associative and idempotent."""
    return (
        other
        if row is None
        else max(
            row, other, key=lambda each: (each.updated_us, each.triggered, each.digest, each.hash)
        )
    )


def forget_others(transaction: Transaction, shops: Collection[str]) -> int:
    """Delete the contacts of all but `shops`; returns how many. If none is left, the position is
    deleted too, so that a new start reads the whole log."""
    if not shops:
        transaction.execute("DELETE FROM positions WHERE processor = :name", name=Contacts.name)
        return transaction.execute("DELETE FROM contact")
    named = {f"shop{number}": shop for number, shop in enumerate(sorted(shops))}
    return transaction.execute(
        f"DELETE FROM contact WHERE shop NOT IN ({', '.join(f':{name}' for name in named)})",
        **named,
    )


class Contacts:
    """The processor. `countries` has the shops that allow it, each with its own country (ISO 3166)
    if known.

    Each field of a customer is an entity of its own, and the newest order that has it wins: an
    order without a phone number removes none. Values are normalised and hashed as for CAPI, so Meta
    matches both alike. A merged customer keeps its rows; readers follow `rfm_alias`. Deleted and
    cancelled orders count, since their buyer was a customer all the same.
    """

    name = "contacts"
    topic = "orders"
    ticks = NO_TICKS

    def __init__(self, countries: Mapping[str, str | None]) -> None:
        self._countries = countries

    def decode(self, entry: Entry) -> tuple[ContactRow, ...] | None:
        """The contacts in an order; None if there are none, or if the shop does not allow it (then
        the body is not read). Raises Rejected."""
        shop = entry.record.headers.get("shop", "")
        if shop not in self._countries:
            return None
        order = decode_order(entry, {})
        return (
            (contacts(order, self._countries[shop]) or None) if isinstance(order, Order) else None
        )

    def apply(
        self, transaction: Transaction, events: Sequence[tuple[ContactRow, ...]], now_ms: int
    ) -> None:
        """Fold `events` into `contact`."""
        rows = list(chain.from_iterable(events))
        redacted = redacted_customers(transaction, {(row.shop, row.customer) for row in rows})
        fold_entities(
            transaction,
            CONTACTS,
            (
                (row[: CONTACTS.key], row)
                for row in rows
                if (mark := redacted.get((row.shop, row.customer))) is None
                or row.updated_us // 1000 > mark.asked_ms
            ),
            newest,
            lambda _: (),
        )

    def tick(self, transaction: Transaction, now_ms: int, shop: str | None = None) -> None:
        """Nothing depends on time."""
