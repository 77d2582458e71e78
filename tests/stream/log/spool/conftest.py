"""What tests of the spool may ask for: a log that can be away, and a spool before it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stream.log.spool import SpooledLog
from stream.log.sqlite.log import SqliteLog
from tests.support.servers.outage import BOUND_S, FOR_EVER_S, Outage


@pytest.fixture
async def outage(tmp_path: Path) -> Outage:
    return Outage(await SqliteLog.open(tmp_path / "log.db"))


@pytest.fixture
async def log(outage: Outage, tmp_path: Path) -> AsyncIterator[SpooledLog]:
    """Waits for a log that takes its time, as any disk may for a second; so only one that says no
    is spooled."""
    spooled = await SpooledLog.open(
        outage, tmp_path / "spool.db", bound_s=FOR_EVER_S, probe_every_s=0.02
    )
    yield spooled
    await spooled.close()


@pytest.fixture
async def impatient(outage: Outage, tmp_path: Path) -> AsyncIterator[SpooledLog]:
    """Takes a log that gives no answer soon for one that is away."""
    spooled = await SpooledLog.open(
        outage, tmp_path / "spool.db", bound_s=BOUND_S, probe_every_s=0.02
    )
    yield spooled
    await spooled.close()
