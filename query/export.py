"""A segment as CSV, page after page: with all that is known, or in the layout of Meta's customer
lists.

Meta matches people by hashes, and tells columns by their headers (Meta, 'How to format a customer
list'). `extern_id` is the SHA-256 of Shopify's customer id, the same that CAPI events carry as
`external_id` (Meta, 'Customer file custom audiences': EXTERN_ID). `email` and `phone` are hashes
too, of shops that let them be kept (`keep_hashed_contacts`), else empty. `value` is what the
customer is expected to bring, for value-based lookalikes. Guests have no id that Meta could know:
without a contact they are left out of that layout.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, Literal

from aggregates.rfm.answer.customers import Customer
from aggregates.rfm.answer.schema import CustomerLtv
from query.contacts import NOTHING, Contact
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
META: Final = ("email", "phone", "extern_id", "value")


def header(layout: Layout) -> bytes:
    return _lines([META if layout == "meta" else FULL])


def lines(
    layout: Layout,
    customers: Sequence[Customer],
    predicted: Sequence[CustomerLtv],
    contacts: Mapping[str, Contact],
) -> bytes:
    """One line per customer, CRLF (RFC 4180). `contacts` by customer, for the layout `meta`."""
    if layout == "csv":
        return _lines(map(_full, customers, predicted))
    told = (
        _meta(each, value, contacts.get(each.row.customer, NOTHING))
        for each, value in zip(customers, predicted, strict=True)
    )
    return _lines(line for line in told if any(line[:3]))


def _full(customer: Customer, predicted: CustomerLtv) -> Sequence[Any]:
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


def _meta(customer: Customer, predicted: CustomerLtv, contact: Contact) -> Sequence[Any]:
    extern_id = (
        ""
        if customer.row.guest
        else sha256(customer.row.customer.strip().lower().encode()).hexdigest()
    )
    return *contact, extern_id, predicted.value and predicted.value["amount"]


def _lines(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
