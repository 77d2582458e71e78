"""Bins of cart values and ages mean the same to the fold and to the answer."""

import random

import pytest

from aggregates.carts.answer import survival
from aggregates.carts.answer.histogram import bin_bounds
from processors.checkouts import idle, state


def test_bounds_of_value_bins_are_where_the_bins_begin_and_end() -> None:
    for value in [*range(3_000), *(random.Random(1).randrange(10**9) for _ in range(300))]:
        low, high = bin_bounds(state.value_bin(value))
        assert low <= value <= high
        assert state.value_bin(low) == state.value_bin(high)
        assert state.value_bin(high + 1) > state.value_bin(high)


def test_hazards_are_cut_at_the_ages_at_which_spells_are_counted() -> None:
    edges_ms = [edge_h * idle.HOUR_MS for edge_h in survival.EDGES_H]
    assert edges_ms == pytest.approx(list(idle.EDGES_MS))
    assert survival.BUCKET_H * idle.HOUR_MS == idle.BUCKET_MS
    assert survival.OPEN_BUCKETS * idle.BUCKET_MS == state.EXPIRES_MS
