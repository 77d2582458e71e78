"""Fixtures: one Kafka broker for the session, and for each test a log with topics of its own.

`tests/conftest.py` imports them by name. ORDERWIRE_TEST_KAFKA names a broker that is already there.
Where none can be started the test is skipped with the reason (`tests/support/servers/skips.py`).
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulator.servers.broker import KafkaBroker
from simulator.servers.missing import Missing


@pytest.fixture(scope="session")
def kafka_broker() -> Iterator[KafkaBroker]:
    """A broker in a process of its own. Tests that kill it start it again."""
    caches = os.environ.get("XDG_CACHE_HOME")
    broker = KafkaBroker(
        os.environ.get("ORDERWIRE_TEST_KAFKA"), cache=Path(caches, "orderwire") if caches else None
    )
    try:
        broker.start()
    except Missing as missing:
        pytest.skip(str(missing))
    yield broker
    broker.stop()
