"""The typed reading of an order's body and the tolerant one agree."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.shopify.raw_order import RawOrder, read_order, tolerant
from tests.support.shopify.golden import Payload, every_payload, payloads

BODIES = [each.body for each in payloads() if each.topic.startswith("orders/")]
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, "", "x", 0, -3, 1.5, True, [], {}, [None], [[]], {"amount": 3}, {"shop_money": []}]
)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key) of a JSON value."""
    keys = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(keys):
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


@settings(max_examples=200)
@given(st.data())
def test_a_body_of_any_shape_is_read_alike_by_both(data: st.DataObject) -> None:
    body = msgspec.json.decode(data.draw(st.sampled_from(BODIES)))
    for _ in range(data.draw(st.integers(0, 4))):
        places = list(_places(body))
        container, key = places[data.draw(st.integers(0, len(places) - 1))]
        container[key] = deepcopy(data.draw(ODD))
    assert read_order(msgspec.json.encode(body)) == tolerant(RawOrder, body)


@pytest.mark.parametrize("example", every_payload(), ids=lambda example: example.name)
def test_every_example_is_read_alike_by_both(example: Payload) -> None:
    body = msgspec.json.decode(example.body)
    assert read_order(example.body) == tolerant(RawOrder, body)


def test_lines_that_are_null_are_absent_to_both() -> None:
    body = msgspec.json.decode(BODIES[0]) | {"line_items": None, "shipping_lines": None}
    assert read_order(msgspec.json.encode(body)) == tolerant(RawOrder, body)


@pytest.mark.parametrize("odd", [None, "", [], 7])
def test_an_object_of_another_shape_counts_as_absent_and_the_rest_is_read(odd: object) -> None:
    body = msgspec.json.decode(BODIES[0]) | {"customer": odd, "email": "a@example.com"}
    raw = read_order(msgspec.json.encode(body))
    assert (raw.customer, raw.email) == (None, "a@example.com")
