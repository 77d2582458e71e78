"""What is remembered of text that senders write is bounded in bytes, not in entries."""

import ast
import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aggregates.budget.fold.attribution import attribute, channel
from destinations.meta.event.identity import phone, place_hashed
from processors.orders.customer import email_key
from processors.shopify.landing import reduced
from stream.money import digits, is_known, minor

ROOT = Path(__file__).parents[1]
ROOMS = ("ingest", "stream", "processors", "aggregates", "destinations", "query", "orderwire")
LENGTH, TEXTS = 50_000, 40  # all of them would be 2 MB
MOST_BYTES = 1_000_000

OF_SENDERS: dict[str, Callable[[str], Any]] = {
    "aggregates/budget/fold/attribution.py:_known_channel": channel,
    "aggregates/budget/fold/attribution.py:_remembered": attribute,
    "destinations/meta/event/identity.py:_remembered_place": lambda text: [
        place_hashed(text, None, None, None, "US"),
        place_hashed(None, text, None, None, text),
        place_hashed("x", "y", text, None, text),
        place_hashed("x", None, None, text, "US"),
    ],
    "destinations/meta/event/phones.py:_home": lambda text: phone("0612345678", text),
    "processors/orders/customer.py:_remembered": email_key,
    "processors/shopify/landing.py:_remembered": lambda text: reduced(f"/?utm_source={text}"),
    "stream/money.py:_is_listed": is_known,
    "stream/money.py:_remembered": lambda text: minor(
        " " * len(text) + str(ord(text[5:6] or "0")), "USD"
    ),
    "stream/money.py:_scale": lambda text: is_known(text) and digits(text),
    "stream/money.py:digits": lambda text: is_known(text) and digits(text),
}
"""Caches whose keys are text of senders, and how such text gets there."""
OF_OURS = {
    "aggregates/days/fold/sale.py:month_of": "a day",
    "destinations/meta/event/payload.py:_content_type": "a setting",
    "destinations/meta/event/phones.py:_leading": "a region that exists",
    "destinations/meta/event/phones.py:_valid": "a region that exists",
    "ingest/receiver/accepted.py:_message": "a second",
    "ingest/shopify/admin/documents/__init__.py:document": "a document of the program",
    "processors/engine/statements.py:_one_of": "a column, and a power of two up to a batch's",
    "query/csv_lists.py:_items_of": "a type of answers",
    "query/dashboard/page.py": "files of the program",
    "stream/store/sql/dialect.py": "statements, tables and columns of the program",
    "stream/store/sql/parcels.py:_compiled": "a statement of the program",
    "stream/store/sql/parcels.py:_numbered": "a statement of the program",
    "stream/store/sql/store.py:_row_type": "columns of the program's statements",
}
"""Caches whose keys nobody else writes, by what they are."""


def caches() -> list[str]:
    """Every function of the product that remembers its results: `path:name`."""
    return [
        f"{path.relative_to(ROOT)}:{node.name}"
        for room in ROOMS
        for path in sorted((ROOT / room).rglob("*.py"))
        for source in [path.read_bytes()]
        if b"cache" in source
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef)
        and any("cache" in ast.unparse(each) for each in node.decorator_list)
    ]


def test_of_every_cache_it_is_known_who_writes_its_keys() -> None:
    found = caches()
    known = (*OF_SENDERS, *OF_OURS)
    assert [
        each for each in found if each not in known and each.partition(":")[0] not in known
    ] == []
    assert [each for each in OF_SENDERS if each not in found] == []


@pytest.mark.parametrize("name", OF_SENDERS)
def test_long_text_is_not_remembered(name: str) -> None:
    remembering = OF_SENDERS[name]
    remembering("FR")  # What is loaded once is no text of a sender.
    tracemalloc.start()
    for number in range(TEXTS):
        remembering(f"{number:06}" + "x" * LENGTH)
    gc.collect(1)  # What was made since the start: all else would take longer than the rest.
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < MOST_BYTES
