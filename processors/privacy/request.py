"""Decodes records of the topic `privacy`: Shopify's three compliance topics and app/uninstalled
(docs/facts/shopify.md, "Privacy topics")."""

from typing import Any, NamedTuple

import msgspec

from processors.orders.customer import email_key
from processors.privacy.rows import CUSTOMER, DATA_REQUEST, SHOP, UNINSTALLED
from processors.privacy.subject import phone_digits
from processors.shopify.reading import read
from processors.shopify.tolerance import Rejected, identifier, mapping, sequence, text
from stream.record import Entry, Record

KINDS = {
    "customers/redact": CUSTOMER,
    "customers/data_request": DATA_REQUEST,
    "shop/redact": SHOP,
    "app/uninstalled": UNINSTALLED,
}


class PrivacyRequest(NamedTuple):
    """A privacy request of a shop or of Shopify."""

    shop: str
    id: str
    kind: str
    asked_ms: int
    customers: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    """As `email_key`."""
    phones: tuple[str, ...] = ()
    orders: tuple[str, ...] = ()


_decoder = msgspec.json.Decoder(dict[str, Any])


def decode_request(entry: Entry) -> PrivacyRequest | None:
    """None for a topic that is no request. Raises Rejected."""
    if entry.record.headers.get("topic") not in KINDS:
        return None
    return read(entry.record, _decode)


def _decode(record: Record) -> PrivacyRequest:
    kind, body = KINDS[record.headers["topic"]], _decoder.decode(record.body)
    request = PrivacyRequest(record.headers["shop"], record.id, kind, record.time_ms)
    if kind in (SHOP, UNINSTALLED):
        return request
    customer = mapping(body.get("customer"))
    customer_id, email, phone = (
        identifier(customer.get("id")),
        text(customer.get("email")),
        text(customer.get("phone")),
    )
    listed = body.get("orders_to_redact" if kind == CUSTOMER else "orders_requested")
    orders = tuple(found for each in sequence(listed) if (found := identifier(each)))
    if customer_id is None and email is None and not orders:
        raise Rejected("no_customer_id", "neither customer nor order is named")
    return request._replace(
        customers=(customer_id,) if customer_id else (),
        emails=(email_key(email),) if email else (),
        phones=(digits,) if phone and (digits := phone_digits(phone)) else (),
        orders=orders,
    )
