"""Settings for tests on a real broker."""

from dataclasses import replace
from uuid import uuid4

import pytest

from stream.log.kafka.settings import KafkaSettings

PATIENT = KafkaSettings(
    session_timeout_s=6.0, ack_timeout_s=60.0, request_timeout_s=60.0, stuck_after_s=600.0
)
"""For tests that are not about time: a broker on a busy machine may need longer than a shop would
wait."""


@pytest.fixture
def settings() -> KafkaSettings:
    """Topics of the test's own."""
    return replace(PATIENT, partitions=6, topic_prefix=f"t{uuid4().hex[:8]}-")
