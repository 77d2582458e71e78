"""Shopify's order export is read line by line; what cannot be read is named by its line alone."""

import csv
import io
from typing import Any

import orjson
import pytest

from ingest.shopify.order_file import BadOrder, NotAnOrderFile, csv_orders, json_orders, records
from processors.shopify.orders import Order, decode_order
from simulator.admin import from_classic
from stream.record import Entry
from tests.support.shopify.admin_shop import SHOP, bodies

COLUMNS = (
    *("Name", "Email", "Financial Status", "Paid at", "Currency", "Subtotal", "Shipping", "Taxes"),
    *("Total", "Discount Code", "Discount Amount", "Created at", "Lineitem quantity"),
    *("Lineitem name", "Lineitem price", "Lineitem sku", "Lineitem requires shipping"),
    *("Billing Name", "Billing City", "Billing Zip", "Billing Province", "Billing Country"),
    *("Notes", "Note Attributes", "Cancelled at", "Refunded Amount", "Id", "Tags", "Source"),
    "Phone",
)
FIRST = {
    "Name": "#1001",
    "Email": "ada@example.com",
    "Financial Status": "partially_refunded",
    "Currency": "EUR",
    "Subtotal": "40.00",
    "Taxes": "8.00",
    "Total": "48.00",
    "Discount Code": "WELCOME",
    "Discount Amount": "2.00",
    "Created at": "2026-11-20 10:11:12 +0100",
    "Lineitem quantity": "2",
    "Lineitem name": "Mug",
    "Lineitem price": "10.00",
    "Lineitem sku": "MUG",
    "Lineitem requires shipping": "true",
    "Billing Name": "Ada Lovelace",
    "Billing Zip": "'75001",
    "Billing Country": "FR",
    "Note Attributes": "_fbp: fb.1.1.2\n_fbc: fb.1.1.abc",
    "Refunded Amount": "8.00",
    "Id": "6100000000001",
    "Source": "web",
}
SECOND = {"Name": "#1001", "Lineitem quantity": "1", "Lineitem price": "20.00"}


def written(*rows: dict[str, str]) -> io.StringIO:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, restval="")
    writer.writeheader()
    writer.writerows(rows)
    text.seek(0)
    return text


def decoded(order: dict[str, Any]) -> Order:
    (record,) = records(SHOP, [order], "Europe/Paris", lambda: 1_795_000_000.0)
    assert record.headers["origin"] == "backfill"
    event = decode_order(Entry(record, 0, 0), {})
    assert isinstance(event, Order)
    return event


def test_an_order_of_several_lines_is_one_order() -> None:
    (order,) = csv_orders(written(FIRST, SECOND))
    assert isinstance(order, dict)
    event = decoded(order)
    assert (event.order_id, event.currency, event.financial_status) == (
        "6100000000001",
        "EUR",
        "partially_refunded",
    )
    assert (event.total, event.current_total) == (4_800, 4_000)
    assert event.processed_at.isoformat() == "2026-11-20T10:11:12+01:00"
    assert event.email == "ada@example.com"
    assert [line["quantity"] for line in order["line_items"]] == [2, 1]
    assert order["note_attributes"][0] == {"name": "_fbp", "value": "fb.1.1.2"}
    assert order["billing_address"]["zip"] == "75001"


def test_the_next_order_begins_at_the_next_line_with_a_total() -> None:
    second = {**FIRST, "Name": "#1002", "Id": "6100000000002"}
    found = list(csv_orders(written(FIRST, SECOND, second)))
    assert [order["name"] for order in found if isinstance(order, dict)] == ["#1001", "#1002"]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("Total", "12,x", "Total is no amount"),
        ("Created at", "20/11/2026 10:11", "Created at is no time"),
        ("Created at", "2026-11-20 10:11:12", "no UTC offset"),
        ("Id", "6.1E+12", "Id is no number"),
        ("Currency", "EURO", "no currency code"),
        ("Lineitem quantity", "two", "Lineitem quantity is no number"),
    ],
)
def test_a_bad_line_is_named_without_what_it_holds(column: str, value: str, reason: str) -> None:
    found = list(csv_orders(written(FIRST, {**FIRST, "Name": "#2", column: value})))
    assert isinstance(found[0], dict)
    bad = found[1]
    assert isinstance(bad, BadOrder)
    assert bad.line == 3
    assert reason in bad.reason
    assert value not in bad.reason


def test_a_file_with_other_columns_is_refused_as_a_whole() -> None:
    with pytest.raises(NotAnOrderFile, match="Financial Status"):
        list(csv_orders(io.StringIO("Name,Total\n#1,2\n")))


def test_json_lines_may_be_classic_bodies_or_objects_of_the_admin_api() -> None:
    classic = next(body for topic, body in bodies(5) if topic.startswith("orders/"))
    answer = from_classic.order(classic)
    lines = [orjson.dumps(one).decode() for one in (classic, answer)]
    found = list(json_orders(io.StringIO("\n".join([*lines, "", "{", "[]"]))))
    first, second = (decoded(order) for order in found[:2] if isinstance(order, dict))
    assert (first.order_id, first.total) == (second.order_id, second.total)
    assert [each.line for each in found[2:] if isinstance(each, BadOrder)] == [4, 5]
