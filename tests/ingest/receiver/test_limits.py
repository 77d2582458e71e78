"""What the receiver does not take, or not at once: bodies too large, too slow or broken, and a log
that does not take them."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest
import structlog

from ingest.receiver.body import MIB, Limits
from stream.log.contract import RecordsRefused, Unavailable
from stream.record import Record
from tests.support.api.receiving import (
    IMPATIENT,
    ORDER,
    PATIENT,
    FunctionLog,
    Held,
    Running,
    immediate_log,
    request_head,
    running,
    signed,
    until,
)

# --- 413 ---


async def test_eleven_mebibytes_are_413() -> None:
    log = immediate_log()
    async with running(
        log, limits=Limits(read_timeout_s=2)
    ) as receiver:  # long enough for the answer to be read while the rest arrives
        assert await receiver.deliver(b" " * (11 * MIB)) == 413
        assert log.kept == []
        assert receiver.in_flight_bytes == 0


async def test_an_announced_length_over_the_cap_is_refused_before_any_of_it_is_sent() -> None:
    async with running(immediate_log(), limits=IMPATIENT) as receiver:
        reader, writer = await receiver.raw()
        writer.write(
            b"POST /webhooks/shopify HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (11 * MIB)
        )
        assert (await reader.readline()).split()[1] == b"413"
        writer.close()


async def test_a_body_of_exactly_the_cap_is_taken_and_one_byte_more_is_not() -> None:
    body = ORDER.ljust(1_000)
    async with running(immediate_log(), limits=replace(PATIENT, max_body_bytes=1_000)) as receiver:
        assert await receiver.deliver(body) == 200
        assert await receiver.deliver(body + b" ") == 413
        assert await receiver.deliver(body * 300) == 413


async def test_a_chunked_body_is_counted_while_it_is_read() -> None:
    log = immediate_log()

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b" " * MIB

    async with running(log) as receiver:
        assert (await receiver.post(chunks(), **signed(ORDER)))[0] == 413
        assert receiver.in_flight_bytes == 0

        async def order() -> AsyncIterator[bytes]:
            yield ORDER[:10]
            await asyncio.sleep(0)
            yield ORDER[10:]

        assert (await receiver.post(order(), **signed(ORDER)))[0] == 200
        assert log.kept[0].body == ORDER


# --- compression ---


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "br", "deflate", "gzip, gzip"])
async def test_a_compressed_body_is_415_whoever_sends_it(coding: str) -> None:
    body = gzip.compress(ORDER, mtime=0)
    async with running(immediate_log()) as receiver:
        headers = signed(ORDER) | {"Content-Encoding": coding}
        assert (await receiver.post(body, **headers))[0] == 415
        assert receiver.count("encoded") == 1
        assert receiver.in_flight_bytes == 0


async def test_a_body_that_says_it_is_not_compressed_is_taken() -> None:
    async with running(immediate_log()) as receiver:
        headers = signed(ORDER) | {"Content-Encoding": "Identity"}
        assert (await receiver.post(ORDER, **headers))[0] == 200


# --- strangers ---

LARGE = ORDER.ljust(3 * MIB)


@pytest.mark.parametrize(
    ("without", "instead"),
    [
        ("X-Shopify-Shop-Domain", "stranger.myshopify.com"),
        ("X-Shopify-Hmac-Sha256", ""),
    ],
)
async def test_a_large_body_that_nobody_can_have_signed_is_read_and_not_kept(
    without: str, instead: str
) -> None:
    async with running(immediate_log()) as receiver:
        reader, writer = await receiver.raw()
        headers = signed(LARGE) | {without: instead}
        writer.write(request_head(f"Content-Length: {len(LARGE)}", headers))
        most = 0.0
        for start in range(0, len(LARGE), MIB // 2):
            writer.write(LARGE[start : start + MIB // 2])
            await writer.drain()
            most = max(most, receiver.in_flight_bytes or 0.0)
        assert (await reader.readline()).split()[1] == b"401"
        assert most == 0
        writer.close()


async def test_large_bodies_that_do_not_come_to_an_end_leave_half_of_the_bytes_to_others() -> None:
    limits = replace(PATIENT, max_body_bytes=MIB, max_in_flight_bytes=2 * MIB)
    async with running(immediate_log(), limits=limits) as receiver:
        writers = []
        for _ in range(4):
            _, writer = await receiver.raw()
            writer.write(request_head(f"Content-Length: {MIB}") + b" " * (MIB - 1))
            writers.append(writer)
        await until(lambda: receiver.count("busy") == 3)
        assert receiver.in_flight_bytes == MIB - 1
        assert await receiver.deliver(ORDER) == 200
        for writer in writers:
            writer.close()


# --- 503 ---


@pytest.mark.parametrize(
    "error", [Unavailable("disk full"), RuntimeError("a fault of ours: ada@example.com")]
)
async def test_a_log_that_refuses_is_503_with_retry_after(error: Exception) -> None:
    async def refuse(_: Sequence[Record]) -> None:
        raise error

    async with running(FunctionLog(refuse)) as receiver:
        with structlog.testing.capture_logs() as found:
            async with receiver.client.post(
                "/webhooks/shopify", data=ORDER, headers=signed(ORDER)
            ) as answer:
                assert answer.status == 503
                assert int(answer.headers["Retry-After"]) > 0
        assert receiver.count("unavailable", "orders/create") == 1
        assert receiver.in_flight_bytes == 0
        assert "ada@example.com" not in str(found)
        reasons = [line["reason"] for line in found if line["event"] == "log_unavailable"]
        assert reasons == (["disk full"] if isinstance(error, Unavailable) else [])


async def test_a_log_that_hangs_is_503_in_time_and_what_it_keeps_later_harms_nobody() -> None:
    log = Held()
    async with running(log, limits=Limits(ack_timeout_s=0.05)) as receiver:
        with structlog.testing.capture_logs() as found:
            assert await receiver.deliver(ORDER) == 503
        assert [line["reason"] for line in found if line["event"] == "log_unavailable"] == [
            "no answer within 0.05 s"
        ]
        assert receiver.in_flight_bytes == len(ORDER), "the log still holds it"
        log.go.set()
        await until(lambda: len(log.kept) == 1)
        assert await receiver.deliver(ORDER) == 200
        first, again = log.kept
        assert first == again, "the same id, key and body: to a reader of the log it is a duplicate"
        await until(lambda: receiver.in_flight_bytes == 0)


async def test_one_write_that_hangs_does_not_hold_up_another() -> None:
    slow = asyncio.Event()
    kept: list[bytes] = []

    async def append(records: Sequence[Record]) -> None:
        if records[0].body == ORDER:
            await slow.wait()
        kept.extend(record.body for record in records)

    async with running(FunctionLog(append)) as receiver:
        first = asyncio.create_task(receiver.deliver(ORDER))
        await until(lambda: receiver.in_flight_bytes == len(ORDER))
        assert await receiver.deliver(b'{"id":6}') == 200
        assert kept == [b'{"id":6}']
        slow.set()
        assert await first == 200


async def test_beyond_the_bytes_in_flight_it_is_503_and_afterwards_it_goes_on() -> None:
    log = Held()
    body = ORDER.ljust(700)
    limits = replace(PATIENT, max_body_bytes=1_000, max_in_flight_bytes=1_000)
    async with running(log, limits=limits) as receiver:
        first = asyncio.create_task(receiver.deliver(body))
        await log.asked.wait()
        async with receiver.client.post(
            "/webhooks/shopify", data=body, headers=signed(body)
        ) as answer:
            assert answer.status == 503
            assert "Retry-After" in answer.headers
        assert receiver.count("busy") == 1
        log.go.set()
        assert await first == 200
        assert await receiver.deliver(body) == 200
        assert [record.body for record in log.kept] == [body, body]


async def test_a_promise_of_many_bytes_takes_no_place_from_those_who_send_theirs() -> None:
    limits = replace(PATIENT, max_body_bytes=1_000, max_in_flight_bytes=1_000)
    async with running(immediate_log(), limits=limits) as receiver:
        _, writer = await receiver.raw()
        writer.write(b"POST /webhooks/shopify HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        await writer.drain()
        assert await receiver.deliver(ORDER.ljust(1_000)) == 200
        writer.close()


def test_limits_that_no_body_could_meet_are_refused() -> None:
    with pytest.raises(ValueError, match="max_in_flight_bytes"):
        Limits(max_body_bytes=2, max_in_flight_bytes=1)


async def test_healthz_is_503_while_the_log_refuses_and_200_again_afterwards() -> None:
    refusing = True

    async def append(_: Sequence[Record]) -> None:
        if refusing:
            raise Unavailable("database or disk is full")

    async with running(FunctionLog(append)) as receiver:
        assert await health(receiver) == 200
        assert await receiver.deliver(ORDER) == 503
        assert await health(receiver) == 503
        refusing = False
        assert await receiver.deliver(ORDER) == 200
        assert await health(receiver) == 200


async def test_a_record_that_the_log_refuses_for_good_leaves_healthz_at_200() -> None:
    async def append(records: Sequence[Record]) -> None:
        raise RecordsRefused("too_large", "too large for it", records)

    async with running(FunctionLog(append)) as receiver:
        assert await receiver.deliver(ORDER) == 503
        assert await health(receiver) == 200


async def health(receiver: Running) -> int:
    async with receiver.client.get("/healthz") as answer:
        return answer.status


# --- slow and lost clients ---


async def test_a_body_that_does_not_come_is_408_and_the_connection_is_closed() -> None:
    async with running(immediate_log(), limits=IMPATIENT) as receiver:
        reader, writer = await receiver.raw()
        writer.write(b"POST /webhooks/shopify HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.split()[1] == b"408"
        assert b"connection: close" in head.lower()
        assert receiver.in_flight_bytes == 0
        writer.close()


async def test_a_client_that_leaves_while_the_log_works_changes_nothing() -> None:
    log = Held()
    async with running(log) as receiver:
        _, writer = await receiver.raw()
        writer.write(request_head(f"Content-Length: {len(ORDER)}") + ORDER)
        await log.asked.wait()
        writer.transport.abort()
        await asyncio.sleep(0.02)
        log.go.set()
        await until(lambda: len(log.kept) == 1)
        await until(lambda: receiver.in_flight_bytes == 0)


async def test_a_client_that_leaves_in_the_middle_of_its_body_leaves_nothing_behind() -> None:
    log = immediate_log()
    async with running(log) as receiver:
        _, writer = await receiver.raw()
        writer.write(request_head("Content-Length: 100000") + b" " * 70_000)
        await until(lambda: receiver.in_flight_bytes == 70_000)
        writer.transport.abort()
        await until(lambda: receiver.in_flight_bytes == 0)
        assert receiver.count("broken") == 1
        assert log.kept == []


async def test_framing_that_makes_no_sense_is_refused_and_holds_nothing() -> None:
    async with running(
        immediate_log(), limits=Limits(read_timeout_s=2)
    ) as receiver:  # long enough to be seen with the first chunk
        reader, writer = await receiver.raw()
        writer.write(request_head("Transfer-Encoding: chunked"))
        writer.write(b"5\r\nhello\r\n")
        await until(lambda: receiver.in_flight_bytes == 5)
        writer.write(b"this is no chunk\r\n")
        assert (await reader.readline()).split()[1] in (b"400", b"408"), (
            "aiohttp may leave the handler to wait"
        )
        assert receiver.in_flight_bytes == 0
        writer.close()
