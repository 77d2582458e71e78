"""What the Kafka log decides without a broker: settings refused, topics compared, records on the
wire, when a reader sticks."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.servers.broker import KafkaBroker
from simulator.servers.missing import Missing
from stream.log.contract import Span
from stream.log.kafka.reader import StuckDetector
from stream.log.kafka.records import decode, encode, partition_of
from stream.log.kafka.scan import lag
from stream.log.kafka.settings import BODY_BYTES_MAX, KafkaSettings, Security
from stream.log.kafka.topics import DAY_MS, compare, wanted
from stream.record import Record

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
records = st.builds(
    Record, topic=st.just("orders"), key=texts, id=texts, time_ms=st.integers(-(2**53), 2**53),
    headers=st.dictionaries(texts, texts, max_size=6), body=st.binary(max_size=200),
)  # fmt: skip


def consumed(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes | None]]
) -> SimpleNamespace:
    return SimpleNamespace(
        key=key,
        value=value,
        headers=tuple(headers),
        partition=3,
        offset=17,
        timestamp=1_790_000_000_000,
    )


@given(records)
def test_a_record_comes_back_from_the_wire_as_it_was(record: Record) -> None:
    message = encode(record, "shop-")
    assert message.topic == "shop-orders"
    entry = decode("orders", consumed(message.key, message.value, [*message.headers]))
    assert (entry.record, entry.place) == (record, "orders/3/17")


@pytest.mark.parametrize(
    ("key", "value", "headers"),
    [
        (None, None, []),
        (b"\xff", b"{}", [("id", b"x")]),
        (b"k", b"", [("id", b"x"), ("time_ms", b"soon")]),
        (b"k", b"", [("a", None)]),
    ],
)
def test_a_message_that_somebody_else_wrote_has_its_place_as_id_and_kafkas_time(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes | None]]
) -> None:
    record = decode("orders", consumed(key, value, headers)).record
    assert (record.id, record.time_ms, record.body) == (
        "orders/3/17",
        1_790_000_000_000,
        value or b"",
    )


def test_the_partition_of_a_key_is_crc32_as_librdkafkas_consistent_partitioner_has_it() -> None:
    # CRC-32 of "123456789" is 0xCBF43926, the check value of the CRC catalogue
    # (reveng.sourceforge.io/crc-catalogue).
    assert partition_of(b"123456789", 8) == 0xCBF43926 % 8
    assert [partition_of(b"example.myshopify.com 1", n) for n in (1, 8)] == [
        0,
        partition_of(b"example.myshopify.com 1", 8),
    ]


def test_keys_spread_over_all_partitions() -> None:
    counts = [0] * 8
    for n in range(8_000):
        counts[partition_of(f"example.myshopify.com {820982911946154508 + n}".encode(), 8)] += 1
    assert all(900 < count < 1_100 for count in counts)


def test_retention_beyond_thirty_days_is_refused() -> None:
    assert KafkaSettings(retention_days=30).retention_days == 30
    for days in (0, 31):
        with pytest.raises(ValueError, match="1 to 30 days"):
            KafkaSettings(retention_days=days)


@pytest.mark.parametrize(
    "wrong", [{"partitions": 0}, {"replication_factor": 2, "min_insync_replicas": 3}]
)
def test_what_cannot_be_met_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"partition|replicas"):
        KafkaSettings(**wrong)  # type: ignore[arg-type]


def test_passwords_show_in_no_repr() -> None:
    shown = repr(
        KafkaSettings(
            security=Security(
                "SASL_SSL", sasl_username="me", sasl_password="hunter2", key_password="hunter3"
            )
        )
    )
    assert "hunter" not in shown


def test_security_passes_through_to_the_client() -> None:
    options = Security(
        "SASL_SSL", sasl_mechanism="SCRAM-SHA-512", sasl_username="me", sasl_password="x"
    ).options()
    assert options["ssl_context"].check_hostname
    assert {
        name: options[name]
        for name in ("security_protocol", "sasl_mechanism", "sasl_plain_username")
    } == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "me",
    }
    assert Security().options()["ssl_context"] is None


@pytest.mark.parametrize(
    ("brokers", "replicas", "in_sync"), [(1, 1, "1"), (2, 2, "1"), (3, 3, "2"), (9, 3, "2")]
)
def test_a_cluster_keeps_three_copies_of_which_two_acknowledge(
    brokers: int, replicas: int, in_sync: str
) -> None:
    want = wanted(KafkaSettings(), brokers)
    assert (want.partitions, want.replication_factor, want.configs["min.insync.replicas"]) == (
        8,
        replicas,
        in_sync,
    )
    assert want.configs["retention.ms"] == str(14 * DAY_MS)
    assert int(want.configs["max.message.bytes"]) > BODY_BYTES_MAX


def test_only_what_takes_something_away_counts_as_a_difference() -> None:
    want = wanted(KafkaSettings(), 3)
    assert compare("orders", want, 8, 3, want.configs) == []
    assert (
        compare(
            "orders",
            want,
            16,
            4,
            {**want.configs, "max.message.bytes": str(1 << 30), "compression.type": "zstd"},
        )
        == []
    )
    found = compare(
        "orders", want, 4, 1, {**want.configs, "cleanup.policy": "compact", "retention.ms": "-1"}
    )
    assert len(found) == 4
    assert all("orders" in sentence for sentence in found)


def test_where_no_broker_can_be_started_every_way_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        Missing,
        match=r"address of a broker.*Docker.*Java 17 or later with Maven \(java and mvn not "
        r"found\)",
    ):
        KafkaBroker(cache=tmp_path).start()


def test_a_broker_given_by_address_is_never_ours_to_kill() -> None:
    with KafkaBroker("broker.example:9092") as broker:
        assert (broker.bootstrap, broker.owned) == ("broker.example:9092", False)
        with pytest.raises(RuntimeError, match="given by address"):
            broker.kill()


def test_lag_counts_what_waits_behind_the_positions_of_partitions_that_are_known() -> None:
    assert lag({0: Span(0, 10), 1: Span(5, 5), 2: Span(0, 99)}, {0: 4, 1: 5, 7: 3}) == 6


def test_a_watchdog_bites_when_the_same_lag_stands_for_its_limit() -> None:
    watchdog = StuckDetector(60)
    assert not watchdog.check_due(0)
    assert watchdog.check_due(15)
    assert not watchdog.checked(15, behind=True)
    assert not watchdog.check_due(16)
    assert not watchdog.checked(45, behind=True)
    assert watchdog.checked(75, behind=True)


def test_a_watchdog_never_bites_a_reader_that_idles_or_moves() -> None:
    watchdog = StuckDetector(60)
    watchdog.check_due(0)
    for now_s in range(15, 10_000, 15):
        assert not watchdog.checked(now_s, behind=False)
    for now_s in range(10_000, 20_000, 50):
        watchdog.checked(now_s, behind=True)
        watchdog.moved()
    assert not watchdog.checked(20_000, behind=True)
