"""What a broker's ACLs forbid: records of a topic that we may not write are refused for good, set
aside and counted, the others of the same append are durable, and nothing is lost once the right is
given."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest
from structlog.testing import capture_logs

from orderwire.doctor.keeping import set_aside_lines
from orderwire.operation.replaying import set_aside_replay
from orderwire.settings.program import Settings
from simulator.servers.broker import KafkaBroker
from simulator.servers.missing import Missing
from stream.log.contract import RecordsRefused
from stream.log.kafka import topics as kafka_topics
from stream.log.kafka.log import KafkaLog
from stream.log.kafka.settings import KafkaSettings, Security
from stream.log.spool import SpooledLog, read_set_aside, read_state
from tests.contracts.log_kit import a_record, from_the_first, numbers, read_until, scan_all
from tests.support.servers.kafka_fixture import PASSWORD, USER, kafka_cache

TOPICS = ("orders", "checkouts")
OURS = KafkaSettings(partitions=2, topic_prefix="ours-", ack_timeout_s=60.0, request_timeout_s=60.0)
USERS = KafkaSettings(
    partitions=2,
    topic_prefix="ours-",
    ack_timeout_s=60.0,
    request_timeout_s=60.0,
    security=Security("SASL_PLAINTEXT", sasl_username=USER, sasl_password=PASSWORD),
)
# kafka.apache.org/protocol: resource types, pattern types, operations, permissions.
TOPIC, GROUP = 2, 3
LITERAL, PREFIXED = 3, 4
ALL, READ, WRITE, DESCRIBE = 2, 3, 4, 8
ALLOW = 3


@pytest.fixture
def broker(kafka_broker: KafkaBroker) -> Iterator[KafkaBroker]:
    """A broker with users and ACLs: the session's own, unless that was given by address or runs in
    Docker."""
    if kafka_broker.users_bootstrap:
        yield kafka_broker
        return
    own = KafkaBroker(cache=kafka_cache(), users={USER: PASSWORD})
    try:
        own.start()
    except Missing as missing:
        pytest.skip(str(missing))
    yield own
    own.stop()


async def allow(broker: KafkaBroker, kind: int, name: str, pattern: int, operation: int) -> None:
    """Give our user a right."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    request = CreateAclsRequest(kind, name, pattern, f"User:{USER}", "*", operation, ALLOW)
    answer = await admin._send_request(request)
    assert [code for code, _ in answer.creation_responses] == [0]
    await admin.close()


@pytest.fixture
async def log(broker: KafkaBroker) -> AsyncIterator[KafkaLog]:
    """The log as a user who may read both topics and write one of them."""
    await kafka_topics.ensure(broker.bootstrap, OURS, TOPICS)
    await allow(broker, GROUP, "ours-", PREFIXED, ALL)
    await allow(broker, TOPIC, "ours-", PREFIXED, READ)
    await allow(broker, TOPIC, "ours-", PREFIXED, DESCRIBE)
    await allow(broker, TOPIC, "ours-checkouts", LITERAL, WRITE)
    opened = await KafkaLog.open(broker.users_bootstrap, USERS, topics=TOPICS)
    yield opened
    await opened.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_what_may_not_be_written_is_set_aside_told_and_counted_until_the_right_is_given(
    broker: KafkaBroker, log: KafkaLog, tmp_path: Path, shop_settings: Settings
) -> None:
    with pytest.raises(RecordsRefused) as refused:
        await log.append([a_record("orders", 1), a_record("checkouts", 2)])
    assert (refused.value.reason, numbers_of(refused.value)) == ("not_authorised", ["id-1"])
    assert numbers(await scan_all(log, "checkouts")) == [2]

    path = tmp_path / "spool.db"
    spooled = await SpooledLog.open(log, path)
    with capture_logs() as lines:
        await spooled.append([a_record("orders", 3), a_record("checkouts", 4)])
        await spooled.append([a_record("orders", 5)])
    assert numbers(await scan_all(log, "checkouts")) == [2, 4]
    assert read_set_aside(path) == {("orders", "not_authorised"): 2}
    assert (read_state(path).set_aside, read_state(path).records) == (2, 0)
    told = [line for line in lines if line["event"] == "records_set_aside"]
    assert [(line["reason"], line["log_level"]) for line in told] == [("not_authorised", "error")]
    await spooled._file.close()

    settings = shop_settings.model_copy(
        update={"log_url": f"kafka://{broker.users_bootstrap}", "spool": path}
    )
    (line,) = set_aside_lines(settings)
    assert line.state == "fix"
    assert "give orderwire the right to write the topic" in line.text

    again = await set_aside_replay.replay(log, path)
    assert (again.returned, again.left) == ({}, {"not_authorised": 2})
    await allow(broker, TOPIC, "ours-orders", LITERAL, WRITE)
    entitled = await KafkaLog.open(broker.users_bootstrap, USERS, topics=TOPICS)
    done = await set_aside_replay.replay(entitled, path)
    assert (done.returned, read_set_aside(path)) == ({"orders": 2}, {})
    reader = await entitled.reader("orders", "rfm", from_the_first)
    assert sorted(numbers(await read_until(reader, 2))) == [3, 5]
    await reader.close()
    assert await entitled.identity("orders")
    await entitled.own("us")
    found = await entitled.owner()
    assert found is not None
    assert found.name == "us"
    await entitled.close()


def numbers_of(refused: RecordsRefused) -> list[str]:
    return [record.id for record in refused.records]
