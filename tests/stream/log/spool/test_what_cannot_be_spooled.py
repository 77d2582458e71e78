"""A full or broken spool refuses and says so; what the log refuses holds up nothing else."""

from pathlib import Path

import pytest
import structlog

from stream.log.contract import (
    LogError,
    RecordsRefused,
    Unavailable,
)
from stream.log.spool import SpooledLog, SpoolState, read_set_aside
from stream.record import Record
from tests.contracts.log_kit import (
    LONG_AGO_MS,
    a_record,
    numbers,
    scan_all,
)
from tests.support.servers.outage import BODY, FOR_EVER_S, Outage, direct_again
from tests.support.servers.turns import turns_until


async def test_a_full_spool_refuses_and_takes_records_again_once_there_is_room(
    outage: Outage, tmp_path: Path
) -> None:
    log = await SpooledLog.open(
        outage, tmp_path / "spool.db", max_bytes=2 << 20, bound_s=FOR_EVER_S, probe_every_s=0.02
    )
    outage.refusing = True
    acknowledged = []
    with pytest.raises(Unavailable):
        for n in range(2_000):
            await log.append([a_record("orders", n, body=BODY)])
            acknowledged.append(n)
    assert 100 < len(acknowledged) < 420
    assert log.spool_state().bytes <= 2 << 20
    outage.refusing = False
    await direct_again(log)
    outage.refusing = True
    await log.append([a_record("orders", 9_999, body=BODY)])
    outage.refusing = False
    await direct_again(log)
    assert set(numbers(await scan_all(log, "orders"))) >= {*acknowledged, 9_999}
    await log.close()


async def test_a_full_spool_hands_to_a_log_that_is_back(outage: Outage, tmp_path: Path) -> None:
    log = await SpooledLog.open(
        outage,
        tmp_path / "spool.db",
        max_bytes=2 << 20,
        bound_s=FOR_EVER_S,
        probe_every_s=FOR_EVER_S,
    )
    outage.refusing = True
    with pytest.raises(Unavailable):
        for n in range(2_000):
            await log.append([a_record("orders", n, body=BODY)])
    outage.refusing = False
    await log.append([a_record("orders", 5_000, body=BODY)])
    assert numbers(await scan_all(log, "orders")) == [5_000]
    await log.close()


async def test_why_it_spools_and_that_it_no_longer_does_is_reported_once_a_record_was_in_the_file(
    outage: Outage, log: SpooledLog
) -> None:
    with structlog.testing.capture_logs() as found:
        outage.refusing = True
        await log.append([a_record("orders", 1)])
        await log.append([a_record("orders", 2)])
        await turns_until(lambda: outage.asked > 3)
        outage.refusing = False
        await direct_again(log)
    assert [(line["event"], line.get("reason")) for line in found] == [
        ("spooling", "away for a while"),
        ("spool_waits", "away for a while"),
        ("spool_drained", None),
    ]


async def test_a_full_file_is_reported_as_refusing_and_neither_as_spooling_nor_as_drained(
    outage: Outage, tmp_path: Path
) -> None:
    log = await SpooledLog.open(
        outage, tmp_path / "spool.db", max_bytes=1, bound_s=FOR_EVER_S, probe_every_s=0.02
    )
    outage.refusing = True
    with structlog.testing.capture_logs() as found:
        with pytest.raises(
            Unavailable,
            match=r"spool.db takes nothing .*full.*, nor does the log \(away for a while\)",
        ):
            await log.append([Record("orders", "k", "1", LONG_AGO_MS, {}, b"x" * (2 << 20))])
        await direct_again(log)
    assert not {line["event"] for line in found} & {"spooling", "spool_drained"}
    await log.close()


async def test_a_file_that_is_no_spool_is_reported_with_the_setting_that_names_it(
    outage: Outage, tmp_path: Path
) -> None:
    (tmp_path / "spool.db").write_bytes(b"no database at all" * 1_000)
    with pytest.raises(LogError, match=r"spool\.db: not a SQLite database .*see ORDERWIRE_SPOOL"):
        await SpooledLog.open(outage, tmp_path / "spool.db")
    await outage.close()


LARGE = b"x" * 20_000


async def test_what_the_log_refuses_for_good_is_set_aside_and_the_rest_of_the_append_is_there(
    log: SpooledLog, outage: Outage, tmp_path: Path
) -> None:
    outage.largest = 10_000
    with structlog.testing.capture_logs() as lines:
        for n in range(0, 30, 3):
            await log.append(
                [a_record("orders", n), a_record("orders", n + 1, body=LARGE), a_record("ads", n)]
            )
    assert not log.spooling
    assert numbers(await scan_all(log, "orders")) == list(range(0, 30, 3))
    assert numbers(await scan_all(log, "ads")) == list(range(0, 30, 3))
    assert log.spool_state() == SpoolState(0, 0, None, set_aside=10)
    assert read_set_aside(tmp_path / "spool.db") == {("orders", "too_large"): 10}
    (line,) = [line for line in lines if line["event"] == "records_set_aside"]
    assert (line["topic"], line["shops"]) == ("orders", ["example.myshopify.com"])
    assert "orderwire replay --set-aside" in line["go_on"]


async def test_a_refused_record_in_the_spool_lets_the_others_pass_and_nothing_is_twice(
    log: SpooledLog, outage: Outage
) -> None:
    outage.refusing, outage.largest = True, 10_000
    large = {7, 8, 300}
    for n in range(400):
        await log.append([a_record("orders", n, body=LARGE if n in large else None)])
    outage.refusing = False
    await direct_again(log)
    kept = [n for n in range(400) if n not in large]
    assert numbers(await scan_all(log, "orders")) == kept
    assert log.spool_state().set_aside == len(large)


async def test_a_topic_that_takes_nothing_holds_up_no_other_topic(
    log: SpooledLog, outage: Outage
) -> None:
    outage.refusing = True
    for n in range(50):
        await log.append([a_record("ads", n), a_record("orders", n)])
    outage.closed_topics, outage.refusing = {"ads"}, False
    await turns_until(lambda: log.spool_state().records == 50)
    assert numbers(await scan_all(log, "orders")) == list(range(50))
    await log.append([a_record("orders", 50), a_record("ads", 50)])
    outage.closed_topics = set()
    await direct_again(log)
    assert numbers(await scan_all(log, "ads")) == list(range(51))
    assert numbers(await scan_all(log, "orders")) == list(range(51))


async def test_a_log_that_keeps_what_it_does_not_acknowledge_gets_one_copy_at_a_time(
    impatient: SpooledLog, outage: Outage
) -> None:
    outage.refusing = True
    await impatient.append([a_record("orders", n) for n in range(500)])
    outage.refusing, outage.silent = False, True
    before = outage.asked
    await turns_until(lambda: outage.asked >= before + 4)
    outage.silent = False
    await direct_again(impatient)
    held = numbers(await scan_all(impatient, "orders"))
    assert set(held) == set(range(500))
    assert len(held) <= 500 + 2 * (outage.asked - before)


async def test_what_cannot_be_forwarded_takes_a_quarter_of_the_file_at_most(
    outage: Outage, tmp_path: Path
) -> None:
    log = await SpooledLog.open(outage, tmp_path / "spool.db", max_bytes=4 << 20)
    outage.largest = 10_000
    with pytest.raises(RecordsRefused) as caught:
        for n in range(1_000):
            await log.append([a_record("orders", n, body=LARGE), a_record("orders", n)])
    assert 40 < log.spool_state().set_aside < 60
    (record,) = caught.value.records
    assert record.body == LARGE
    assert numbers(await scan_all(log, "orders"))[-1] == int(record.id.partition("-")[2])
    await log.close()
