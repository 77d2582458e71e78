"""A second deployment, a topic that was made again and a removed file are said by log lines,
`/readyz`, `/v1/status`, `doctor` and a metric."""

import os
import time
from pathlib import Path

import pytest

from orderwire.alarms.conditions import Conditions
from orderwire.alarms.samples import samples
from simulator.meta.graph import GraphStandIn
from stream.log.sqlite.log import SqliteLog
from stream.store.sql.store import SqlStore
from tests.orderwire.alarms.deployment import PIXEL, TOKEN, Deployment, deployment
from tests.orderwire.alarms.test_reported import Fault, check, nothing


async def reasons(one: Deployment, words: str) -> list[str]:
    """Those of `/readyz`, once one of them has the words."""

    async def found() -> list[str]:
        _, answer = await one.get("/readyz")
        said: list[str] = answer["reasons"] + answer["notes"]
        return said if words in str(said) else []

    said: list[str] = await one.until(f"/readyz says {words!r}", found)
    return said


async def metric(one: Deployment, alarm: str) -> bool:
    text = (await one.get("/metrics"))[1].encode()
    return alarm in {each.alarm for each in Conditions().look(samples([text]), 0.0)}


async def test_what_happens_to_the_log_is_reported_everywhere_with_its_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with GraphStandIn(tokens={TOKEN: [PIXEL]}) as graph:
        port = int(graph.url.rpartition(":")[2].partition("/")[0])
        async with deployment(tmp_path, tmp_path, monkeypatch, port) as one:
            await one.end("process")
            other = await SqliteLog.open(tmp_path / "log.db")
            await other.own("another deployment's store")
            await one.start("process")
            await check(one, Fault("PartStopped", nothing, "another deployment"))
            assert await metric(one, "PartStopped")
            await reasons(one, "another deployment")
            await other.close()

            store = SqlStore.open(one.environment["ORDERWIRE_STORE_URL"])
            await one.sell(1)

            def folded() -> bool:
                with store.snapshot() as snapshot:
                    return any(each.processor == "orders" for each in snapshot.positions())

            await one.until("the sale is folded", folded)
            await one.end("process")
            with store.begin() as transaction:
                transaction.execute("UPDATE read_topic SET identity = 'of before'")
                transaction.execute("DELETE FROM alert")
            store.close()
            one.lines.clear()
            await one.start("process")
            await check(one, Fault("PartStopped", nothing, "not the one that was read until now"))
            assert await metric(one, "PartStopped")
            await reasons(one, "not the one that was read until now")
            assert (await one.get("/readyz"))[0] == 503

            os.unlink(tmp_path / "log.db")
            since_s = time.monotonic()
            assert await one.sell(2) == 503
            assert await one.healthz() == 503
            assert time.monotonic() - since_s < 1
            await check(one, Fault("DeliveriesRefused", nothing))
            assert await metric(one, "NotReady")
            await reasons(one, "the log does not answer")
            (line,) = (line for line in (await one.doctor())[1] if line.startswith("fix   log:"))
            assert "the file is gone" in line
            assert f"rm {tmp_path / 'log.db.made'}" in line

            async def receiver_said_so() -> bool:
                lines = (await one.doctor())[1]
                return any("refuses deliveries" in each and "is gone" in each for each in lines)

            await one.until("a heartbeat has brought it", receiver_said_so)
