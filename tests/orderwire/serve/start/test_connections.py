"""What the receiver opens, and what it goes without."""

from pathlib import Path

import pytest
import structlog

from orderwire.serve.start.connections import open_receiving_log
from orderwire.settings.program import Settings
from simulator.servers.broker import free_port
from stream.log.contract import Unavailable
from stream.log.spool import SpooledLog
from stream.record import Record


def settings(folder: Path) -> Settings:
    return Settings.load(
        {
            "ORDERWIRE_LOG_URL": f"kafka://127.0.0.1:{free_port()}",
            "ORDERWIRE_SPOOL": str(folder / "spool.db"),
        }
    )


async def test_without_brokers_the_receiver_starts_on_its_spool_and_says_once_why_it_cannot_connect(
    tmp_path: Path,
) -> None:
    with structlog.testing.capture_logs() as answer:
        log = await open_receiving_log(settings(tmp_path))
        await log.append([Record("orders", "k", "1", 1_000, {}, b"{}")])
    assert isinstance(log, SpooledLog)
    assert log.spool_state().records == 1
    reasons = [line["reason"] for line in answer if line["event"] == "kafka_down"]
    assert len(reasons) == len(set(reasons)) > 0
    assert "no connection to Kafka" in reasons[0]
    await log.close()


async def test_a_spool_that_cannot_be_used_is_reported_with_its_setting_and_gone_without(
    tmp_path: Path,
) -> None:
    (tmp_path / "spool.db").write_bytes(b"no database at all" * 1_000)
    with structlog.testing.capture_logs() as answer:
        log = await open_receiving_log(settings(tmp_path))
    errors = [line["error"] for line in answer if line["log_level"] == "error"]
    assert len(errors) == 1
    assert "see ORDERWIRE_SPOOL" in errors[0]
    with pytest.raises(Unavailable):
        await log.append([Record("orders", "k", "1", 1_000, {}, b"{}")])
    await log.close()
