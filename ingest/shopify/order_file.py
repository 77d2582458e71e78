"""Reads Shopify's own order export: the CSV of Orders > Export, or JSON with one order a line
(help.shopify.com, "Exporting orders to a CSV file")."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple, TextIO

from ingest.shopify.admin.past.history import BACKFILL, order_record
from ingest.shopify.routing import route
from stream.money import amount, is_known, minor
from stream.record import Record

TOPIC = "orders/updated"
NEEDED = ("Name", "Financial Status", "Currency", "Total", "Created at", "Lineitem quantity", "Id")
Json = dict[str, Any]


class NotAnOrderFile(ValueError):
    """The file as a whole cannot be read; the message says what to do."""


class BadOrder(NamedTuple):
    """An order that cannot be read. `line` is its first, 1 for the header."""

    line: int
    reason: str


class UnreadableOrder(ValueError):
    """Why a line cannot be read, without what it holds."""


def csv_orders(file: TextIO) -> Iterator[Json | BadOrder]:
    """Orders in the form of classic webhooks, one after the other. Raises NotAnOrderFile.

    The first line of an order has its totals, the lines that follow only further line items. The
    file has no customer, checkout, landing page, variant or time of the last change: its orders
    count as older than any webhook of the same order.
    """
    reader = csv.DictReader(file)
    missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
    if missing:
        raise NotAnOrderFile(
            f"the columns {', '.join(missing)} are missing: export all columns of the orders"
        )
    for line, rows in _orders(reader):
        try:
            yield _order(rows)
        except UnreadableOrder as bad:
            yield BadOrder(line, str(bad))


def json_orders(file: TextIO) -> Iterator[Json | BadOrder]:
    """Orders one a line: classic bodies, or objects of the Admin API with their lines inside."""
    for line, text in enumerate(file, 1):
        if not text.strip():
            continue
        try:
            given = json.loads(text)
        except ValueError:
            yield BadOrder(line, "it is no JSON")
            continue
        if (
            isinstance(given, dict)
            and given.get("id")
            and ("created_at" in given or _is_gid(given))
        ):
            yield given
        else:
            yield BadOrder(line, "it is no order")


def records(
    shop: str, orders: Iterable[Json], zone: str, clock: Callable[[], float]
) -> Iterator[Record]:
    """Orders as records of history."""
    for order in orders:
        now_ms = int(clock() * 1000)
        if _is_gid(order):
            body = json.dumps(order).encode()
            yield order_record(shop, body, zone, BACKFILL, now_ms)
            continue
        body = json.dumps(order).encode()
        place = route(shop, TOPIC, body)
        headers = {"source": "shopify", "topic": TOPIC, "shop": shop, "origin": BACKFILL}
        yield Record(
            topic=place.topic,
            key=place.key,
            id=f"{BACKFILL}-file-{order['id']}",
            time_ms=now_ms,
            headers=headers,
            body=body,
        )


def _is_gid(order: Json) -> bool:
    return str(order.get("id", "")).startswith("gid://shopify/Order/")


def _orders(reader: Iterable[dict[str, str]]) -> Iterator[tuple[int, list[dict[str, str]]]]:
    """Rows of one order together, with the number of the first."""
    rows: list[dict[str, str]] = []
    first = 0
    for line, row in enumerate(reader, 2):
        if rows and row.get("Name") == rows[0]["Name"] and not row.get("Total"):
            rows.append(row)
            continue
        if rows:
            yield first, rows
        rows, first = [row], line
    if rows:
        yield first, rows


def _order(rows: list[dict[str, str]]) -> Json:
    row = rows[0]
    currency = row["Currency"].strip().upper()
    if not is_known(currency):
        raise UnreadableOrder("Currency is no currency code")
    number = row["Id"].strip().removesuffix(".0")
    if not number.isdigit():
        raise UnreadableOrder("Id is no number: a spreadsheet may have changed it")
    total = _money(row, "Total", currency)
    if total is None:
        raise UnreadableOrder("Total is empty")
    refunded = _money(row, "Refunded Amount", currency) or 0
    created = _time(row, "Created at")
    if created is None:
        raise UnreadableOrder("Created at is empty")
    body: Json = {
        "id": int(number),
        "admin_graphql_api_id": f"gid://shopify/Order/{number}",
        "name": row["Name"],
        "created_at": created,
        "processed_at": created,
        "updated_at": created,
        "cancelled_at": _time(row, "Cancelled at"),
        "currency": currency,
        "presentment_currency": currency,
        "financial_status": row["Financial Status"].strip().lower(),
        "source_name": row.get("Source") or None,
        "email": row.get("Email") or None,
        "phone": row.get("Phone") or None,
        "note": row.get("Notes") or None,
        "tags": row.get("Tags") or "",
        "test": False,
        "taxes_included": False,
        "discount_codes": [{"code": row["Discount Code"]}] if row.get("Discount Code") else [],
        "note_attributes": _attributes(row.get("Note Attributes") or ""),
        "billing_address": _address(row, "Billing"),
        "shipping_address": _address(row, "Shipping"),
        "line_items": [_line(each) for each in rows if each.get("Lineitem quantity")],
        # What went back is taken off the total: a refund without an id could be counted twice.
        "refunds": [],
        "total_price": amount(total, currency),
        "current_total_price": amount(max(0, total - refunded), currency),
    }
    for name, column in (
        ("subtotal_price", "Subtotal"),
        ("total_tax", "Taxes"),
        ("total_discounts", "Discount Amount"),
    ):
        if (units := _money(row, column, currency)) is not None:
            body[name] = amount(units, currency)
    return body


def _line(row: dict[str, str]) -> Json:
    quantity = row["Lineitem quantity"].strip()
    if not quantity.isdigit():
        raise UnreadableOrder("Lineitem quantity is no number")
    return {
        "sku": row.get("Lineitem sku") or None,
        "title": row.get("Lineitem name") or None,
        "quantity": int(quantity),
        "price": row.get("Lineitem price") or None,
        "requires_shipping": (row.get("Lineitem requires shipping") or "").lower() == "true",
    }


def _money(row: dict[str, str], column: str, currency: str) -> int | None:
    text = (row.get(column) or "").strip()
    if not text:
        return None
    try:
        return minor(text, currency)
    except (ValueError, ArithmeticError):
        raise UnreadableOrder(f"{column} is no amount") from None


def _time(row: dict[str, str], column: str) -> str | None:
    text = (row.get(column) or "").strip()
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text.replace(" UTC", " +0000").replace(" +", "+", 1))
    except ValueError:
        try:
            moment = datetime.strptime(text, "%Y-%m-%d %H:%M:%S %z")
        except ValueError:
            raise UnreadableOrder(
                f"{column} is no time such as 2026-11-20 10:11:12 +0100"
            ) from None
    if moment.tzinfo is None:
        raise UnreadableOrder(f"{column} has no UTC offset: a spreadsheet may have changed it")
    return moment.isoformat()


def _address(row: dict[str, str], kind: str) -> Json | None:
    country = row.get(f"{kind} Country")
    if not country:
        return None
    first, _, last = (row.get(f"{kind} Name") or "").partition(" ")
    return {
        "first_name": first or None,
        "last_name": last or None,
        "phone": row.get(f"{kind} Phone") or None,
        "city": row.get(f"{kind} City") or None,
        "zip": (row.get(f"{kind} Zip") or "").lstrip("'") or None,
        "province_code": row.get(f"{kind} Province") or None,
        "country_code": country,
    }


def _attributes(text: str) -> list[Json]:
    pairs = (line.partition(": ") for line in text.splitlines())
    return [{"name": name, "value": value} for name, mark, value in pairs if mark]
