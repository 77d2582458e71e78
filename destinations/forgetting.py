"""Erases a redacted person, or all persons of a shop, from the tables of destinations."""

from collections.abc import Iterator

from destinations.delivery.ledger import forget_orders
from processors.privacy.subject import Subject
from stream.store.contract import Store

PAGE = 500


def forget_events(store: Store, shop: str, subject: Subject) -> int:
    """Delete payloads, and cancel what was not sent yet. Rows stay, so that no event is sent
    twice."""
    return sum(_forget_events(store, shop, page) for page in _pages(store, shop, subject))


def _forget_events(store: Store, shop: str, order_ids: list[str]) -> int:
    with store.begin() as transaction:
        return forget_orders(transaction, shop, order_ids)


def _pages(store: Store, shop: str, subject: Subject) -> Iterator[list[str]]:
    if not subject.everybody:
        for start in range(0, len(subject.orders), PAGE):
            yield list(subject.orders[start : start + PAGE])
        return
    last = ""
    while True:
        with store.snapshot() as snapshot:
            found = snapshot.query(
                "SELECT DISTINCT order_id FROM outbox WHERE shop = :shop AND order_id > :last"
                " ORDER BY order_id LIMIT :page",
                shop=shop,
                last=last,
                page=PAGE,
            )
        if not found:
            return
        last = found[-1].order_id
        yield [row.order_id for row in found]


def forget_contacts(store: Store, shop: str, subject: Subject) -> int:
    """Hashed e-mail addresses and telephone numbers."""
    return _delete(store, "contact", "customer", shop, sorted(subject.customer_keys), subject)


def forget_browser(store: Store, shop: str, subject: Subject) -> int:
    """What browsers reported."""
    return _delete(store, "browser_fact", "token", shop, list(subject.tokens), subject)


def _delete(
    store: Store, table: str, column: str, shop: str, values: list[str], subject: Subject
) -> int:
    with store.begin() as transaction:
        if subject.everybody:
            return transaction.execute(f"DELETE FROM {table} WHERE shop = :shop", shop=shop)
        return sum(
            transaction.execute(
                f"DELETE FROM {table} WHERE shop = :shop AND {column} = :value",
                shop=shop,
                value=value,
            )
            for value in values
        )
