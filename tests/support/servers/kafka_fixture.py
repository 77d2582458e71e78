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

USER, PASSWORD = "orderwire", "let-me-in"
"""May do what ACLs say, at `users_bootstrap`."""


def kafka_cache() -> Path | None:
    """Where this session's brokers keep what they need once per machine; None for the default."""
    caches = os.environ.get("XDG_CACHE_HOME")
    return Path(caches, "orderwire") if caches else None


@pytest.fixture(scope="session")
def session_broker() -> Iterator[KafkaBroker]:
    """A broker in a process of its own, with a user."""
    cache = kafka_cache()
    address = os.environ.get("ORDERWIRE_TEST_KAFKA")
    broker = KafkaBroker(address, cache=cache, users={} if address else {USER: PASSWORD})
    try:
        try:
            broker.start()
        except Missing:  # Users need Java.
            broker = KafkaBroker(cache=cache)
            broker.start()
    except Missing as missing:
        pytest.skip(str(missing))
    yield broker
    broker.stop()


@pytest.fixture
def kafka_broker(session_broker: KafkaBroker) -> Iterator[KafkaBroker]:
    """The session's broker, which is paused between the tests that use it. Tests that kill it start
    it again."""
    session_broker.pause(paused=False)
    yield session_broker
    session_broker.pause(paused=True)


@pytest.fixture
def broker_to_kill(kafka_broker: KafkaBroker) -> KafkaBroker:
    """The same, for tests that kill it. They come first of all: a broker that was killed recovers
    the topics of every test before (2 to 3 s of CPU after seven tests of a whole system)."""
    if not kafka_broker.owned:
        pytest.skip("the broker given by ORDERWIRE_TEST_KAFKA is not ours to kill")
    return kafka_broker
