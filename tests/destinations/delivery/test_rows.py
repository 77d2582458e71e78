"""Rows that count alike are counted together, and come to what each counts by itself."""

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from destinations.delivery.rows import (
    NO_CONSENT,
    PENDING,
    PREDICTED,
    SENT,
    SKIPPED,
    OutboxDeltas,
    OutboxRow,
    counted,
)
from processors.engine.processor import Deltas
from stream.store.contract import Cells, Key

rows = st.builds(
    OutboxRow,
    shop=st.sampled_from(("a.myshopify.com", "b.myshopify.com")),
    destination=st.sampled_from(("meta", "second")),
    event_name=st.just("Purchase"),
    event_id=st.uuids().map(str),
    order_id=st.just("1"),
    updated_us=st.just(1),
    triggered=st.just(""),
    digest=st.just(""),
    outcome=st.sampled_from((PENDING, SENT, SKIPPED, NO_CONSENT)),
    reason=st.sampled_from(
        ("", "a test order", PREDICTED + "2804050: too little", PREDICTED + "currency: JEP")
    ),
    match_keys=st.sampled_from(("", "em", "em,ph", "em,ph,external_id")),
    received_ms=st.integers(1_000, 3_000),
    sent_ms=st.sampled_from((0, 3_000, 5_000)),
    browser=st.sampled_from((0, 1)),
    day=st.sampled_from((None, 20_000, 20_001)),
    currency=st.sampled_from(("USD", "EUR")),
    value=st.integers(0, 10_000),
)


class Added:
    """A `Transaction` of which only `add` is used."""

    def __init__(self) -> None:
        self.cells: dict[tuple[str, Key], tuple[int, ...]] = {}

    def add(self, cells: Cells, deltas: Mapping[Key, tuple[int, ...]]) -> None:
        assert not any((cells.table, key) in self.cells for key in deltas)
        self.cells |= {(cells.table, key): sums for key, sums in deltas.items() if any(sums)}


@given(added=st.lists(rows), taken=st.lists(rows))
def test_rows_counted_together_come_to_the_sum_of_each(
    added: list[OutboxRow], taken: list[OutboxRow]
) -> None:
    together, each = OutboxDeltas(), Deltas()
    for row in added:
        together.add(row)
        each.add(counted(row))
    for row in taken:
        together.take(row)
        each.take(counted(row))
    found: Any = Added()
    expected: Any = Added()
    together.save(found)
    each.save(expected)
    assert found.cells == expected.cells
