"""What is remembered of text that senders write is bounded in bytes, not in entries."""

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from aggregates.budget.fold.attribution import attribute, channel
from processors.orders.customer import email_key
from stream.money import is_known

LENGTH, TEXTS = 50_000, 40  # all of them would be 2 MB
MOST_BYTES = 1_000_000


@pytest.mark.parametrize("remembering", [email_key, channel, attribute, is_known])
def test_long_text_is_not_remembered(remembering: Callable[[str], Any]) -> None:
    gc.collect()
    tracemalloc.start()
    for number in range(TEXTS):
        remembering(f"{number:06}" + "x" * LENGTH)
    gc.collect()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < MOST_BYTES
