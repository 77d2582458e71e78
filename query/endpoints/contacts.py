"""Hashes of customers' e-mail addresses and phone numbers, by which Meta matches people; empty
unless the shop keeps them."""

from collections.abc import Collection
from typing import Final, NamedTuple

from stream.store.contract import Reading

FOUND: Final = "c.field, c.hash, c.updated_us, c.triggered, c.digest"


class Contact(NamedTuple):
    """SHA-256 in lower-case hex; "" if nothing is kept."""

    email: str = ""
    phone: str = ""


NOTHING: Final = Contact()


def contacts(reading: Reading, shop: str, customers: Collection[str]) -> dict[str, Contact]:
    """By customer, in one query; customers without contacts are left out. Of all customers merged
    into one, the newest contact counts."""
    if not customers:
        return {}
    named = {f"c{number}": customer for number, customer in enumerate(customers)}
    among = ", ".join(f":{name}" for name in named)
    sql = (
        f"SELECT c.customer, {FOUND} FROM contact c WHERE c.shop = :shop "
        f"AND c.customer IN ({among}) UNION ALL SELECT a.kept, {FOUND} FROM customer_alias a "
        "JOIN contact c ON c.shop = a.shop AND c.customer = a.deleted WHERE a.shop = :shop "
        f"AND a.kept IN ({among})"
    )
    newest: dict[tuple[str, str], tuple[int, str, str, str]] = {}
    for customer, field, hash_, *version in reading.query(sql, shop=shop, **named):
        key, candidate = (customer, field), (*version, hash_)
        newest[key] = max(newest.get(key, candidate), candidate)
    known = {customer for customer, _ in newest}
    return {
        customer: Contact(
            *(newest[customer, f][-1] if (customer, f) in newest else "" for f in ("em", "ph"))
        )
        for customer in known
    }
