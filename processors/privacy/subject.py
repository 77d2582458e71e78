"""The person a redaction is about, anonymous keys, and marks of late records."""

import hmac
from collections.abc import Iterable
from typing import Final

import msgspec

from processors.orders.customer import GUEST, REDACTED

CUSTOMER_ID, ORDER_ID, EMAIL, PHONE, TOKEN = "customer", "order", "email", "phone", "token"
"""Kinds of marks. `email` is of `processors.orders.customer.email_key`; `token` of checkouts and
carts alike."""
SHORTEST_PHONE: Final = 7


class Subject(msgspec.Struct, frozen=True, omit_defaults=True):
    """A person of one shop, or everybody."""

    key: str
    """Hex, random."""
    customers: tuple[str, ...] = ()
    """Customer ids, of merged customers too."""
    emails: tuple[str, ...] = ()
    """As `email_key`."""
    phones: tuple[str, ...] = ()
    """Digits."""
    orders: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()
    """Of checkouts and carts."""
    everybody: bool = False
    head: str = ""
    """Of merged customers the one that all count as; "" where none were merged."""

    @property
    def customer_keys(self) -> frozenset[str]:
        """As orders have them: ids, and guests by their address."""
        return frozenset(self.customers) | {GUEST + email for email in self.emails}


_decoder = msgspec.json.Decoder(Subject)


def decode(text: str) -> Subject:
    """The subject of a redaction."""
    return _decoder.decode(text)


def encode(subject: Subject) -> str:
    """As a redaction keeps it."""
    return msgspec.json.encode(subject).decode()


def _digest(key: str, *parts: str) -> str:
    return hmac.digest(bytes.fromhex(key), "\0".join(parts).encode(), "sha256")[:16].hex()


def anonymous(key: str, customer: str) -> str:
    """The key that replaces a customer's: `x:` and half of an HMAC-SHA256. The redaction's key is
    forgotten with the subject, so nobody can compute it from a customer's id afterwards. Guests
    stay guests."""
    if not customer or is_redacted(customer):
        return customer
    if customer.startswith(GUEST):
        return GUEST + REDACTED + _digest(key, customer)
    return REDACTED + _digest(key, customer)


def anonymous_token(key: str, token: str) -> str:
    """What takes a checkout's or cart's token's place."""
    return token if not token or token.startswith(REDACTED) else REDACTED + _digest(key, token)


def is_redacted(customer: str) -> bool:
    """Whether the key stands for somebody who was redacted."""
    return customer.removeprefix(GUEST).startswith(REDACTED)


def mark(salt: str, shop: str, kind: str, value: str) -> str:
    """The mark of an id: an HMAC under the store's salt. It can confirm that a given id was
    redacted; no id can be read from it."""
    return _digest(salt, shop, kind, value)


def marked(salt: str, shop: str, subject: Subject) -> Iterable[tuple[str, str]]:
    """(mark, customer key behind it or "") of everything by which a record may name the subject."""
    by_kind = {
        CUSTOMER_ID: subject.customers,
        ORDER_ID: subject.orders,
        EMAIL: subject.emails,
        PHONE: subject.phones,
        TOKEN: subject.tokens,
    }
    for kind, values in by_kind.items():
        for value in values:
            customer = {CUSTOMER_ID: subject.head or value, EMAIL: GUEST + value}.get(kind, "")
            yield mark(salt, shop, kind, value), anonymous(subject.key, customer)


def phone_digits(phone: str) -> str:
    """A telephone number as it is compared: its digits, without leading zeros."""
    digits = "".join(each for each in phone if each.isdigit()).lstrip("0")
    return digits if len(digits) >= SHORTEST_PHONE else ""
