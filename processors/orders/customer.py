"""Whose an order is: the customer's id, or a guest by the hash of the e-mail address."""

import hashlib
import unicodedata

from processors.shopify.orders import Order


def customer_key(order: Order) -> str:
    """The customer's id; a guest's hashed e-mail address behind `g:`; "" where there is neither."""
    if order.customer_id is not None:
        return order.customer_id
    if order.email is None:
        return ""
    address = unicodedata.normalize("NFC", order.email).strip().lower()
    return "g:" + hashlib.sha256(address.encode()).hexdigest()[:32]
