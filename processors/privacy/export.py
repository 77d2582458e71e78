"""Collects what the store and the log have of a person, as the answer to a data request."""

import json
from collections.abc import Iterable
from typing import Any

from processors.checkouts.known_buyers import first_orders
from processors.orders.row import SETTLED
from processors.privacy.finding import AT_ONCE, link_subjects
from processors.privacy.subject import Subject
from stream.record import Record
from stream.store.contract import Reading

TABLES = (
    ("checkouts", "cart_checkout", "token", "tokens"),
    ("customer", "rfm_customer", "customer", "customer_keys"),
    ("hashed_contacts", "contact", "customer", "customer_keys"),
    ("browser", "browser_fact", "token", "tokens"),
    ("events", "outbox", "order_id", "orders"),
)
"""Title, table, column, and the attribute of `Subject` that it is looked up by."""


def stored(reading: Reading, shop: str, subject: Subject) -> dict[str, list[dict[str, Any]]]:
    """Rows by title, as the store has them; texts of JSON stay texts."""
    found: dict[str, list[dict[str, Any]]] = {}
    for title, table, column, attribute in TABLES:
        values = sorted(getattr(subject, attribute))
        found[title] = list(_rows(reading, shop, table, column, values))
    orders = SETTLED.by_id(reading, shop, subject.orders)
    found["orders"] = [
        {name: _plain(value) for name, value in orders[each]._asdict().items()}
        for each in sorted(orders)
    ]
    links = link_subjects(subject)
    found["links"] = list(_rows(reading, shop, "cart_link", "subject", links))
    found["links"] += [
        {"subject": each, "first_order_ms": first_ms}
        for each, first_ms in first_orders(reading, shop, links).items()
    ]
    return found


def _rows(
    reading: Reading, shop: str, table: str, column: str, values: list[str]
) -> Iterable[dict[str, Any]]:
    for start in range(0, len(values), AT_ONCE):
        page = {f"v{number}": each for number, each in enumerate(values[start : start + AT_ONCE])}
        names = ", ".join(f":{name}" for name in page)
        for row in reading.query(
            f"SELECT * FROM {table} WHERE shop = :shop AND {column} IN ({names})",
            shop=shop,
            **page,
        ):
            yield {name: _plain(value) for name, value in zip(row._fields, row, strict=True)}


def _plain(value: Any) -> Any:
    return (
        bytes(value).decode("utf-8", "replace") if isinstance(value, bytes | memoryview) else value
    )


def delivery(record: Record) -> dict[str, Any]:
    """A record of the log as the file shows it."""
    try:
        body: Any = json.loads(record.body)
    except ValueError:
        body = record.body.decode("utf-8", "replace")
    return {
        "received_ms": record.time_ms,
        "topic": record.headers.get("topic", record.topic),
        "body": body,
    }
