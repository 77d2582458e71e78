"""Writes a segment as CSV, page after page: all columns, or the layout of Meta's customer lists."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, Literal, NamedTuple

from aggregates.rfm.answer.customers import ScoredCustomer
from aggregates.rfm.answer.schema import CustomerLtv
from query.endpoints.contacts import NOTHING, Contact
from stream.times import day_text

Layout = Literal["csv", "meta"]

FULL: Final = (
    *(
        "id",
        "guest",
        "recency_days",
        "frequency",
        "monetary",
        "currency",
        "r",
        "f",
        "m",
        "fm",
        "segment",
    ),
    *("first_order_day", "last_order_day", "p_alive", "expected_orders", "predicted_value"),
)


class MetaRow(NamedTuple):
    """A line of the layout `meta`."""

    email: str
    phone: str
    extern_id: str
    value: str | None


META: Final = MetaRow._fields
"""Meta finds columns by their headers (Meta, 'How to format a customer list').

- `extern_id`: SHA-256 of Shopify's customer id, as in CAPI's `external_id` (Meta, 'Customer file
  custom audiences': EXTERN_ID).
- `email`, `phone`: hashes too, of shops that keep them (`keep_hashed_contacts`), else empty.
- `value`: the predicted value, for value-based lookalikes.

Meta cannot know a guest's id, so guests without a contact are left out.
"""


def header(layout: Layout) -> bytes:
    return _lines([META if layout == "meta" else FULL])


def lines(
    layout: Layout,
    customers: Sequence[ScoredCustomer],
    predicted: Sequence[CustomerLtv],
    contacts: Mapping[str, Contact],
) -> bytes:
    """One line per customer, CRLF (RFC 4180). `contacts` by customer, for the layout `meta`."""
    if layout == "csv":
        return _lines(map(_full, customers, predicted))
    rows = (
        _meta(each, value, contacts.get(each.row.customer, NOTHING))
        for each, value in zip(customers, predicted, strict=True)
    )
    return _lines(row for row in rows if row.email or row.phone or row.extern_id)


def _full(customer: ScoredCustomer, predicted: CustomerLtv) -> Sequence[Any]:
    row = customer.row
    return (
        *(
            row.customer,
            row.guest,
            customer.recency_days,
            row.orders,
            customer.monetary["amount"],
            customer.currency,
        ),
        *(customer.scores or (None,) * 4),
        *(customer.segment, day_text(row.first_day), day_text(row.last_day)),
        *(
            predicted.p_alive,
            predicted.expected_orders,
            predicted.value and predicted.value["amount"],
        ),
    )


def _meta(customer: ScoredCustomer, predicted: CustomerLtv, contact: Contact) -> MetaRow:
    extern_id = (
        ""
        if customer.row.guest
        else sha256(customer.row.customer.strip().lower().encode()).hexdigest()
    )
    value = predicted.value["amount"] if predicted.value else None
    return MetaRow(contact.email, contact.phone, extern_id, value)


def _lines(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
