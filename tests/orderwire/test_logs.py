"""What is written: the same kind of lines whoever speaks, seldom in a long outage, and never what
somebody sent."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from ingest.receiver.app import Receiver
from ingest.receiver.body import Limits
from orderwire.logs import SELDOM_S, Seldom, libraries_handler, without_values
from orderwire.serve.supervisor import log_line
from stream.log.sqlite.log import SqliteLog
from stream.metrics import ReceiverMetrics

SAID = "ada@example.com"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What libraries write off a terminal."""
    stream = io.StringIO()
    handler = libraries_handler("receive", stream)
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_that_repeats_is_written_once_in_a_while_and_others_beside_it() -> None:
    now_s = 0.0
    seldom = Seldom(lambda: now_s)

    def found(name: str, message: str, value: int) -> bool:
        return seldom.filter(logging.LogRecord(name, logging.ERROR, "", 0, message, (value,), None))

    assert [found("aiokafka", "no connection to node %s", value) for value in range(3)] == [
        True,
        False,
        False,
    ]
    assert found("aiokafka", "no metadata of %s", 1)
    assert found("aiokafka.consumer", "no connection to node %s", 1)
    now_s = SELDOM_S
    assert [found("aiokafka", "no connection to node %s", value) for value in range(2)] == [
        True,
        False,
    ]


def test_the_supervisors_lines_are_json_with_the_same_names_too_and_readable_on_a_terminal() -> (
    None
):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    elsewhere, terminal = io.StringIO(), Terminal()
    for stream in (elsewhere, terminal):
        log_line("warning", 'role receive ended by "signal"', stream)
    (line,) = lines(elsewhere)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": 'role receive ended by "signal"',
        "level": "warning",
        "role": "supervisor",
    }
    assert terminal.getvalue() == 'orderwire serve: role receive ended by "signal"\n'


def test_a_librarys_line_is_json_with_the_same_names_as_ours(written: io.StringIO) -> None:
    logging.getLogger("library.conn").warning("no connection to node %s", 3)
    (line,) = lines(written)
    assert {name: line[name] for name in ("event", "level", "logger", "role")} == {
        "event": "no connection to node 3",
        "level": "warning",
        "logger": "library.conn",
        "role": "receive",
    }
    assert line["timestamp"].endswith("Z")


def test_what_aiokafka_tries_again_is_a_warning_and_what_others_call_an_error_is_one(
    written: io.StringIO,
) -> None:
    for name in ("aiokafka.consumer.group_coordinator", "asyncio"):
        logger = logging.getLogger(name)
        record = logger.makeRecord(
            name, logging.ERROR, "", 0, "Group Coordinator Request failed", (), None
        )
        logging.getLogger().handle(record)
    assert [line["level"] for line in lines(written)] == ["warning", "error"]


def test_an_exception_is_reported_by_types_and_places_and_never_in_its_words(
    written: io.StringIO,
) -> None:
    def fold(value: str) -> None:
        try:
            int(value)
        except ValueError as error:
            raise LookupError(value) from error

    try:
        fold(SAID)
    except LookupError as error:
        found = without_values(error)
        logging.getLogger("library").exception("Unhandled exception\n%r", error)
    assert SAID not in found
    assert found.index("LookupError") < found.index("caused by") < found.index("ValueError")
    (line,) = lines(written)
    assert (line["event"], line["exception"]) == ("Unhandled exception", found)


async def test_an_exception_that_nobody_asked_for_is_one_line_without_its_words(
    written: io.StringIO,
) -> None:
    async def fail() -> None:
        raise ValueError(SAID)

    task = asyncio.create_task(fail())
    await asyncio.wait([task])
    del task
    (line,) = lines(written)
    assert line["event"] == "Task exception was never retrieved"
    assert SAID not in written.getvalue()


@pytest.mark.parametrize(
    "request_text",
    [
        "POST /webhooks/shopify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        + json.dumps({"email": SAID})
        + "\r\n0\r\n\r\n",
        f"POST /webhooks/shopify HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer {SAID}\r\n\r\n",
        f"GET /{SAID} HTTP/9.9.9\r\n\r\n",
    ],
    ids=["chunk size", "header line", "version"],
)
async def test_what_a_stranger_sent_is_in_no_line(
    log: SqliteLog, written: io.StringIO, request_text: str
) -> None:
    receiver = Receiver(
        log=log,
        shops={},
        meta=(),
        clock=lambda: 0,
        limits=Limits(read_timeout_s=0.2),
        metrics=ReceiverMetrics(CollectorRegistry()),
    )
    runner = web.ServerRunner(receiver.server())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    reader, writer = await asyncio.open_connection(*runner.addresses[0])
    writer.write(request_text.encode())
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await runner.cleanup()
    assert b" 400 " in answer
    assert lines(written)
    assert SAID not in written.getvalue()
