"""Two deployments with stores of their own on one Kafka prefix: the second waits and says why, and
the first misses nothing."""

import asyncio
import uuid
from itertools import islice
from pathlib import Path

import pytest

from simulator.servers.broker import KafkaBroker
from tests.system.checks import assert_all
from tests.system.harness import System
from tests.system.load import traffic
from tests.system.serve_process import PATIENCE_S, needs_proc

pytestmark = needs_proc


@pytest.mark.timeout(600)
async def test_a_second_deployment_on_a_prefix_takes_no_record_from_the_first(
    tmp_path: Path, kafka_broker: KafkaBroker
) -> None:
    prefix = {"ORDERWIRE_KAFKA_TOPIC_PREFIX": f"{uuid.uuid4().hex[:8]}-"}
    log_url = f"kafka://{kafka_broker.bootstrap}"
    async with (
        System(tmp_path / "one", log_url=log_url, environment=prefix) as one,
        System(
            tmp_path / "other", roles=("process",), log_url=log_url, environment=prefix
        ) as other,
    ):
        await one.start()
        deliveries = traffic(one)
        sent = await one.send(islice(deliveries, 100))
        await one.settled()
        await other.start()
        async with asyncio.timeout(PATIENCE_S):
            while "another deployment" not in other.output():  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.1)
        more = await one.send(islice(deliveries, 100))
        sent.deliveries += more.deliveries
        sent.traffic.acknowledged += more.traffic.acknowledged
        await one.settled()
        with other.store() as store, store.snapshot() as snapshot:
            assert snapshot.positions() == []
        assert await other.stop() == 0
        assert await one.stop() == 0
        await assert_all(one, sent)
