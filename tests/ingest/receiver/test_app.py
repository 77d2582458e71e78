"""The receiver over real HTTP: every status of docs/api.md, "The receiver", and what must be in the
log after each."""

import asyncio
import hashlib
import hmac
import json
from pathlib import Path

import pytest
import structlog

from ingest.shopify.routing import RULES
from stream.log.sqlite.log import SqliteLog
from tests.support.api.receiving import (
    APP,
    NOW_MS,
    ORDER,
    SECRET,
    SHOP,
    Held,
    immediate_log,
    request_head,
    running,
    signed,
    until,
)
from tests.support.shopify import golden

# --- 200 ---


async def test_a_signed_order_is_in_the_log_byte_for_byte_before_the_200() -> None:
    log = immediate_log()
    async with running(log) as receiver:
        assert await receiver.deliver(ORDER) == 200
        (record,) = log.kept
        assert (record.topic, record.key, record.id, record.body) == (
            "orders",
            f"{SHOP}:7",
            "w-1",
            ORDER,
        )
        assert record.time_ms == NOW_MS
        assert receiver.count("accepted", "orders/create") == 1
        assert receiver.in_flight_bytes == 0


async def test_no_answer_goes_out_before_the_log_has_the_record() -> None:
    log = Held()
    async with running(log) as receiver:
        answer = asyncio.create_task(receiver.deliver(ORDER))
        await log.asked.wait()
        await asyncio.wait([answer], timeout=0.05)
        assert not answer.done()
        log.go.set()
        assert await answer == 200


async def test_deliveries_that_arrive_together_are_each_kept_once_and_each_answered() -> None:
    log = immediate_log()
    async with running(log) as receiver:
        bodies = [b'{"id":%d}' % number for number in range(50)]
        assert await asyncio.gather(*map(receiver.deliver, bodies)) == [200] * 50
        assert sorted(record.body for record in log.kept) == sorted(bodies)


async def test_an_unknown_topic_is_200_and_parked() -> None:
    log = immediate_log()
    async with running(log) as receiver:
        assert await receiver.deliver(b'{"id":1}', topic="disputes/create") == 200
        assert log.kept[0].topic == "parked"
        assert log.kept[0].headers["parked_reason"] == "unknown_topic"
        assert receiver.count("parked", "other") == 1


async def test_an_order_without_an_id_is_200_and_parked() -> None:
    log = immediate_log()
    async with running(log) as receiver:
        assert await receiver.deliver(b"{}") == 200
        assert log.kept[0].headers["parked_reason"] == "no_order_id"


async def test_the_embedded_log_has_what_was_answered_200(tmp_path: Path) -> None:
    log = await SqliteLog.open(tmp_path / "log.db")
    try:
        async with running(log) as receiver:
            bodies = [b'{"id":%d}' % number for number in range(30)]
            assert await asyncio.gather(*map(receiver.deliver, bodies)) == [200] * 30
        kept = [
            entry.record.body
            for partition in await log.spans("orders")
            for entry in await log.scan("orders", partition, 0, 100)
        ]
        assert sorted(kept) == sorted(bodies)
    finally:
        await log.close()


async def test_every_payload_on_every_topic_is_200_and_kept() -> None:
    log = immediate_log()
    async with running(log) as receiver:
        for payload in golden.every_payload():
            topics = [*RULES, "disputes/create"]
            answers = await asyncio.gather(
                *(receiver.deliver(payload.body, topic) for topic in topics)
            )
            assert answers == [200] * len(topics), payload.name
            assert len(log.kept) == len(topics), payload.name
            log.kept.clear()


# --- 401 ---


async def test_whoever_cannot_sign_gets_one_and_the_same_401_and_leaves_nothing_behind() -> None:
    log = immediate_log()
    unsigned = signed(ORDER)
    del unsigned["X-Shopify-Hmac-Sha256"]
    async with running(log) as receiver:
        answers = {
            await receiver.post(ORDER, **signed(ORDER, secret=b"wrong")),
            await receiver.post(ORDER + b" ", **signed(ORDER)),
            await receiver.post(ORDER, **unsigned),
            await receiver.post(ORDER, **(signed(ORDER) | {"X-Shopify-Hmac-Sha256": "ÿ"})),
            await receiver.post(ORDER, **signed(ORDER, shop="other.myshopify.com")),
            await receiver.post(ORDER, **signed(ORDER, shop="nobody.myshopify.com")),
            await receiver.post(b"", **signed(ORDER)),
            await receiver.post(b"{", **signed(b"{", secret=b"wrong")),
        }
        assert len(answers) == 1
        assert answers.pop()[0] == 401
        assert log.kept == []
        assert receiver.count("unsigned") == 8
        assert receiver.unsigned(SHOP) == 6
        assert receiver.unsigned("nobody.myshopify.com") is None, "a sender chose this name"
        assert receiver.in_flight_bytes == 0


async def test_during_a_rotation_both_secrets_are_good_and_the_metric_shows_which() -> None:
    async with running(immediate_log()) as receiver:
        assert [
            await receiver.deliver(ORDER, secret=each) for each in (SECRET, b"old", b"old")
        ] == [200] * 3
        used = [
            receiver.registry.get_sample_value(
                "orderwire_signatures_total", {"sender": "shopify", "secret": each}
            )
            for each in "01"
        ]
        assert used == [1, 2]


async def test_headers_without_x_are_the_same_headers() -> None:
    log = immediate_log()
    async with running(log) as receiver:
        headers = {name.removeprefix("X-"): value for name, value in signed(ORDER).items()}
        assert (await receiver.post(ORDER, **headers))[0] == 200
        assert log.kept[0].id == "w-1"


# --- 400 ---


@pytest.mark.parametrize(
    ("body", "reason"), [(b"{", "malformed_json"), (b"", "empty_body"), (b"[1]", "not_an_object")]
)
async def test_a_signed_body_that_is_no_object_is_400_and_parked(body: bytes, reason: str) -> None:
    log = immediate_log()
    async with running(log) as receiver:
        assert await receiver.deliver(body) == 400
        (record,) = log.kept
        assert (record.topic, record.body, record.headers["parked_reason"]) == (
            "parked",
            body,
            reason,
        )
        assert receiver.count("undecodable", "orders/create") == 1


# --- Meta ---

NOTICE = json.dumps({"object": "ad_account", "entry": [{"id": "act_1"}]}).encode()


def hub(body: bytes, secret: bytes = APP.app_secret) -> dict[str, str]:
    return {"X-Hub-Signature-256": "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()}


async def test_metas_handshake_is_answered_in_plain_text_or_refused() -> None:
    asked = {
        "hub.mode": "subscribe",
        "hub.verify_token": "the word",
        "hub.challenge": "<b>1158201444</b>",
    }
    async with running(immediate_log()) as receiver:
        async with receiver.client.get("/webhooks/meta", params=asked) as answer:
            assert (answer.status, await answer.text()) == (200, asked["hub.challenge"])
            assert answer.content_type == "text/plain"
        async with receiver.client.get(
            "/webhooks/meta", params=asked | {"hub.verify_token": "guess"}
        ) as answer:
            assert answer.status == 403
            assert "1158201444" not in await answer.text()


async def test_metas_notices_are_kept_on_ads_or_refused() -> None:
    log = immediate_log()
    async with running(log) as receiver:
        for headers, status in ((hub(NOTICE), 200), (hub(NOTICE, b"guess"), 401), ({}, 401)):
            async with receiver.client.post(
                "/webhooks/meta", data=NOTICE, headers=headers
            ) as answer:
                assert answer.status == status
        async with receiver.client.post("/webhooks/meta", data=b"{", headers=hub(b"{")) as answer:
            assert answer.status == 400
        assert [record.topic for record in log.kept] == ["ads", "parked"]
        assert receiver.count("accepted", "ads", "meta") == 1


async def test_without_a_meta_app_there_is_no_such_address() -> None:
    async with running(immediate_log(), meta=()) as receiver:
        async with receiver.client.get("/webhooks/meta") as answer:
            assert answer.status == 404
        async with receiver.client.post(
            "/webhooks/meta", data=NOTICE, headers=hub(NOTICE)
        ) as answer:
            assert answer.status == 404


# --- health, shutdown, log lines ---


async def test_healthz_says_no_once_the_receiver_is_to_stop() -> None:
    async with running(immediate_log()) as receiver:
        async with receiver.client.get("/healthz") as answer:
            assert answer.status == 200
        receiver.receiver.ready = False
        async with receiver.client.get("/healthz") as answer:
            assert answer.status == 503
        assert await receiver.deliver(ORDER) == 200, "who comes all the same is served"


async def test_an_answer_of_a_receiver_that_is_to_stop_is_the_last_of_its_connection() -> None:
    async with running(immediate_log()) as receiver:
        reader, writer = await receiver.raw()
        receiver.receiver.ready = False
        writer.write(request_head(f"Content-Length: {len(ORDER)}") + ORDER)
        async with asyncio.timeout(60):
            answer = await reader.read()
        writer.close()
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"\r\nconnection: close\r\n" in answer.lower()


async def test_a_delivery_that_is_under_way_is_finished_before_the_server_ends() -> None:
    log = Held()
    async with running(log) as receiver:
        answer = asyncio.create_task(receiver.deliver(ORDER))
        await log.asked.wait()
        closing = asyncio.create_task(receiver.client.server.close())
        runner = receiver.client.server.runner
        assert runner is not None
        await until(lambda: not runner.sites)
        log.go.set()
        assert await answer == 200
        await closing
        assert len(log.kept) == 1


async def test_log_lines_name_shop_topic_and_delivery_and_nothing_of_a_person() -> None:
    body = b'{"email":"ada@example.com"}'
    async with running(immediate_log()) as receiver:
        with structlog.testing.capture_logs() as found:
            await receiver.deliver(body)
            for _ in range(3):
                await receiver.deliver(body, secret=b"wrong")
            await receiver.deliver(body, shop="nobody.myshopify.com")
    assert [
        (line["event"], line.get("shop"), line.get("topic"), line.get("delivery")) for line in found
    ] == [
        ("delivery_parked", SHOP, "orders/create", "w-1"),
        ("delivery_unsigned", None, None, None),
        ("delivery_unsigned", None, None, None),
    ]
    assert [line.get("shop_configured") for line in found[1:]] == [True, False]
    assert "ada@example.com" not in str(found)
    assert "hush" not in str(found)


async def test_a_topic_that_nobody_knows_makes_no_new_metric() -> None:
    async with running(immediate_log()) as receiver:
        for number in range(20):
            await receiver.deliver(b"{}", topic=f"made/up{number}")
        assert receiver.count("parked", "other") == 20
