"""A segment as CSV, page after page: with all that is known, or in the layout of Meta's customer lists.

Meta matches people by hashes. Of those this store keeps one: `extern_id` is the SHA-256 of Shopify's customer id, the same that CAPI events
carry as `external_id` (Meta, 'Customer file custom audiences': EXTERN_ID), and `value` is what the customer is expected to bring, for
value-based lookalikes. E-mail addresses and telephone numbers are not kept, not even hashed, so there are no columns of them; guests
have no id that Meta could know, and are left out of that layout.
"""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Any, Final, Literal

from query.as_of import day_text
from query.customers import Customer

Json = dict[str, Any]
Layout = Literal["csv", "meta"]

FULL: Final = (
    *("id", "guest", "recency_days", "frequency", "monetary", "currency", "r", "f", "m", "fm", "segment"),
    *("first_order_day", "last_order_day", "p_alive", "expected_orders", "predicted_value"),
)
META: Final = ("extern_id", "value")


def header(layout: Layout) -> bytes:
    return _lines([META if layout == "meta" else FULL])


def lines(layout: Layout, customers: Sequence[Customer], predicted: Sequence[Json]) -> bytes:
    """One line per customer, CRLF (RFC 4180)."""
    line: Callable[[Customer, Json], Sequence[Any] | None] = _meta if layout == "meta" else _full
    return _lines(told for told in map(line, customers, predicted) if told is not None)


def _full(customer: Customer, predicted: Json) -> Sequence[Any]:
    row = customer.row
    return (
        *(row.customer, row.guest, customer.recency_days, row.orders, customer.monetary["amount"], customer.currency),
        *(customer.scores or (None,) * 4),
        *(customer.segment, day_text(row.first_day), day_text(row.last_day)),
        *(predicted["p_alive"], predicted["expected_orders"], predicted["value"] and predicted["value"]["amount"]),
    )


def _meta(customer: Customer, predicted: Json) -> Sequence[Any] | None:
    if customer.row.guest:
        return None
    return sha256(customer.row.customer.strip().lower().encode()).hexdigest(), predicted["value"] and predicted["value"]["amount"]


def _lines(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
