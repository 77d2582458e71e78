"""The customer of an order: the id, or a guest by the hash of the e-mail address. Only here is an
address normalised for aggregates; destinations normalise as their vendor wants."""

import hashlib
import unicodedata
from functools import lru_cache

from processors.shopify.orders import Order

GUEST = "g:"
REDACTED = "x:"
"""How the key begins that takes the place of a customer who was redacted (`processors/privacy`)."""


LONGEST_ADDRESS = 254
"""Characters of an e-mail address (RFC 3696, erratum 1690). Longer text is hashed each time, so
that what is remembered takes 1 MB at most."""


def email_key(email: str | None) -> str:
    """Half of the SHA-256 of the normalised address, as 32 hex digits; "" without an address."""
    if not email:
        return ""
    return _remembered(email) if len(email) <= LONGEST_ADDRESS else _hashed(email)


@lru_cache(maxsize=1_024)
def _remembered(email: str) -> str:
    return _hashed(email)


def _hashed(email: str) -> str:
    composed = email if email.isascii() else unicodedata.normalize("NFC", email)
    address = composed.strip().lower()
    return hashlib.sha256(address.encode("utf-8", "replace")).hexdigest()[:32]


def customer_key(order: Order) -> str:
    """The customer's id; a guest's `email_key` after `g:`; "" if there is neither."""
    if order.customer_id is not None:
        return order.customer_id
    return GUEST + email_key(order.email) if order.email else ""
