"""The Graph stand-in answers as Meta does, with every scripted fault, and its account names every
contradiction."""

import asyncio
import hmac
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from simulator.meta import replies
from simulator.meta.graph import GraphStandIn
from simulator.meta.replies import EventsCall, Faults, GraphReply, Script
from tests.support.shopify.graph_events import HASH, NOW_S, purchase


class Client:
    """Posts batches to the stand-in."""

    def __init__(self, graph: GraphStandIn, session: aiohttp.ClientSession) -> None:
        self.graph, self._session = graph, session

    async def post(
        self, *events: Any, pixel: str = "111", token: str = "good", **more: Any
    ) -> tuple[int, dict[str, Any]]:
        url = f"{self.graph.url}/v26.0/{pixel}/events"
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self._session.post(
            url, data=orjson.dumps({"data": events, **more}), headers=headers
        ) as answer:
            return answer.status, await answer.json()

    async def get(self, path: str, token: str = "good") -> tuple[int, dict[str, Any]]:
        async with self._session.get(
            f"{self.graph.url}/{path}", headers={"Authorization": f"Bearer {token}"}
        ) as answer:
            return answer.status, await answer.json()


@asynccontextmanager
async def standing_in(script: Script | None = None, **settings: Any) -> AsyncIterator[Client]:
    async with (
        GraphStandIn(script, clock=lambda: NOW_S, **settings) as graph,
        aiohttp.ClientSession() as session,
    ):
        yield Client(graph, session)


async def test_a_good_batch_is_counted_and_answered_as_meta_does() -> None:
    async with standing_in() as client:
        status, body = await client.post(purchase("1"), purchase("2"))
        assert status == 200
        assert body == {"events_received": 2, "messages": [], "fbtrace_id": "A0000001StandIn"}
        assert (client.graph.received, client.graph.duplicates, client.graph.conflicts()) == (
            2,
            0,
            [],
        )


async def test_one_bad_event_rejects_the_whole_batch() -> None:
    async with standing_in() as client:
        status, body = await client.post(
            purchase("1"), purchase("2", custom_data={"value": None}), purchase("3")
        )
        assert status == 400
        error = body["error"]
        assert (error["code"], error["error_subcode"], error["type"], error["is_transient"]) == (
            100,
            2804009,
            "OAuthException",
            False,
        )
        assert error["error_user_title"]
        assert error["fbtrace_id"]
        assert client.graph.received == 0
        assert client.graph.account.rejected == {"purchase_without_value": 1}
        (rejection,) = client.graph.account.last_rejections
        assert (rejection.event_id, rejection.rule) == ("2", "purchase_without_value")


async def test_the_good_events_of_a_rejected_batch_can_be_kept_as_one_report_has_it() -> None:
    async with standing_in(keeps_valid=True) as client:
        status, _ = await client.post(purchase("1"), purchase("2", custom_data={"value": None}))
        assert status == 400
        assert client.graph.account.kept_ids("111") == {"1": 1}


async def test_a_token_is_checked_and_so_is_its_grant() -> None:
    async with standing_in(tokens={"good": ["111"]}) as client:
        status, body = await client.post(purchase(), token="bad")
        assert (status, body["error"]["code"]) == (401, 190)
        status, body = await client.post(purchase(), token="")
        assert (status, body["error"]["code"]) == (401, 190)
        status, body = await client.post(purchase(), pixel="222")
        assert (status, body["error"]["code"], body["error"]["error_subcode"]) == (400, 100, 33)
        assert (await client.post(purchase()))[0] == 200


async def test_a_wrong_appsecret_proof_is_a_graph_method_exception_without_a_subcode() -> None:
    async with standing_in(app_secret="secret") as client:
        status, body = await client.post(purchase())
        assert (status, body["error"]["code"], body["error"]["type"]) == (
            400,
            100,
            "GraphMethodException",
        )
        assert "error_subcode" not in body["error"]
        proof = hmac.digest(b"secret", b"good", "sha256").hex()
        assert (await client.post(purchase(), appsecret_proof=proof))[0] == 200


async def test_a_token_in_the_address_is_found() -> None:
    async with standing_in() as client:
        await client.get("v26.0/111?access_token=good")
        assert client.graph.account.findings == {"token_in_url": 1}


async def test_one_event_id_with_two_payloads_is_a_conflict_even_where_it_was_refused() -> None:
    async with standing_in(
        lambda call: replies.transient() if call.number == 1 else None
    ) as client:
        await client.post(purchase("1"))
        await client.post(purchase("1", custom_data={"value": 99}))
        assert [(one.kind, one.event_id) for one in client.graph.conflicts()] == [
            ("two_identities", "1")
        ]


async def test_one_order_with_two_event_ids_is_a_conflict() -> None:
    async with standing_in() as client:
        await client.post(purchase("1"), {**purchase("1"), "event_id": "other"})
        assert [(one.kind, one.event_id, one.order_id) for one in client.graph.conflicts()] == [
            ("two_event_ids", "other", "1")
        ]


async def test_the_same_event_again_is_a_duplicate_and_no_conflict_even_without_its_fbc() -> None:
    async with standing_in() as client:
        await client.post(purchase("1"))
        await client.post(purchase("1", user_data={"fbc": None}))
        await client.post(purchase("1"), pixel="222")
        assert (client.graph.received, client.graph.duplicates, client.graph.conflicts()) == (
            3,
            1,
            [],
        )


async def test_the_books_hold_no_identity() -> None:
    async with standing_in() as client:
        await client.post(purchase("1"), purchase("2", user_data={"em": ["john@example.com"]}))
        await client.post(purchase("3"))
        _, found = await client.get("account?events=1")
        for private in (HASH, "john@example.com", "2001:db8", "Mozilla", "IwAR"):
            assert private not in orjson.dumps(found).decode()
        assert found["distinct"] == 1
        assert {row[2] for row in found["events"]} == {"1", "2", "3"}


async def test_with_only_ids_the_books_stay_small_and_still_show_duplicates() -> None:
    async with standing_in(only_ids=True) as client:
        await client.post(purchase("1"), purchase("2"))
        await client.post(purchase("1"))
        assert (client.graph.received, client.graph.duplicates, client.graph.account.distinct) == (
            3,
            1,
            2,
        )
        assert client.graph.account.events == {}


@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [
        (replies.transient(), 500, 2),
        (replies.throttled(3), 400, 80004),
        (replies.token_expired(), 401, 190),
        (replies.wrong_pixel(), 400, 100),
        (replies.failure(200, status=403), 403, 200),
    ],
)
async def test_each_class_of_error_can_be_scripted(
    reply: GraphReply, status: int, code: int
) -> None:
    async with standing_in(lambda _: reply) as client:
        got, body = await client.post(purchase())
        assert (got, body["error"]["code"]) == (status, code)
        assert client.graph.received == 0


async def test_a_script_sees_the_request_and_can_treat_pixels_apart() -> None:
    def script(call: EventsCall) -> GraphReply | None:
        assert (call.version, len(call.events)) == ("v26.0", 1)
        return replies.token_expired() if call.pixel == "222" else None

    async with standing_in(script) as client:
        assert (await client.post(purchase()))[0] == 200
        assert (await client.post(purchase(), pixel="222"))[0] == 401


async def test_throttling_shows_its_minutes_in_the_usage_header() -> None:
    async with (
        standing_in(lambda _: replies.throttled(3)) as client,
        aiohttp.ClientSession() as session,
        session.post(f"{client.graph.url}/v26.0/111/events", data=b"{}") as answer,
    ):
        (usage,) = orjson.loads(answer.headers["X-Business-Use-Case-Usage"]).values()
        assert usage[0]["estimated_time_to_regain_access"] == 3


async def test_html_and_a_cut_connection_look_like_a_proxy_in_trouble() -> None:
    answers = iter([replies.html(), replies.reset(takes=None)])
    async with standing_in(lambda _: next(answers)) as client, aiohttp.ClientSession() as session:
        url = f"{client.graph.url}/v26.0/111/events"
        async with session.post(url, data=orjson.dumps({"data": [purchase()]})) as answer:
            assert (answer.status, answer.content_type) == (502, "text/html")
        with pytest.raises(aiohttp.ClientError):
            await session.post(url, data=orjson.dumps({"data": [purchase()]}))
        assert client.graph.received == 1, "the batch was kept although nobody got an answer"


async def test_a_batch_can_be_taken_in_part() -> None:
    async with standing_in(lambda call: replies.partial(1) if call.number == 1 else None) as client:
        _, body = await client.post(purchase("1"), purchase("2"))
        assert body["events_received"] == 1
        await client.post(purchase("1"), purchase("2"))
        assert client.graph.account.kept_ids("111") == {"1": 2, "2": 1}


async def test_the_order_in_which_an_orders_events_were_kept_is_reported() -> None:
    async with standing_in() as client:
        await client.post(purchase("1"))
        await client.post({**purchase("1"), "event_name": "Refund", "event_id": "1-refund"})
        assert client.graph.account.sequences["111", "1"] == [
            ("Purchase", "1"),
            ("Refund", "1-refund"),
        ]


async def test_doctor_and_the_quality_poll_get_what_they_ask_for() -> None:
    async with standing_in(tokens={"good": None}) as client:
        await client.post(purchase("1"), purchase("2", user_data={"fbc": None}))
        assert (await client.get("v26.0/me"))[0] == 200
        assert (await client.get("v26.0/me", token="bad"))[0] == 401
        _, found = await client.get("v26.0/111?fields=id,name,last_fired_time,is_unavailable")
        assert found["id"] == "111"
        assert found["is_unavailable"] is False
        assert found["last_fired_time"].endswith("+0000")
        assert (await client.get("v26.0/debug_token?input_token=good"))[1]["data"][
            "is_valid"
        ] is True
        _, quality = await client.get("v26.0/dataset_quality?dataset_id=111&fields=web{event_name}")
        (web,) = quality["web"]
        feedback = {
            one["identifier"]: one["coverage"]["percentage"]
            for one in web["event_match_quality"]["match_key_feedback"]
        }
        assert (feedback["email"], feedback["fbc"]) == (100.0, 50.0)


def test_weather_is_the_same_for_the_same_seed_and_an_outage_ends() -> None:
    def blown(weather: Faults, at_s: float = NOW_S) -> list[GraphReply | None]:
        script = weather.script()
        return [script(EventsCall(n, at_s, "v26.0", "111", [])) for n in range(200)]

    weather = Faults(seed=3, transient=0.1, resets=0.05, throttled=0.05)
    assert blown(weather) == blown(weather)
    assert 10 < sum(reply is not None for reply in blown(weather)) < 80
    outage = Faults(outage_s=(NOW_S, NOW_S + 60))
    assert all(reply is not None and reply.status == 401 for reply in blown(outage))
    assert all(reply is None for reply in blown(outage, NOW_S + 60))


async def test_in_a_process_of_its_own_it_writes_its_books_at_the_end(tmp_path: Path) -> None:
    report = tmp_path / "graph.json"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "simulator.meta.graph",
        "--report",
        str(report),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    async with aiohttp.ClientSession() as session:
        async with session.post(
            f"{url}/v26.0/111/events", data=b'{"data": []}', headers={"Authorization": "Bearer t"}
        ) as answer:
            assert answer.status == 400
        async with session.get(f"{url}/account") as answer:
            assert (await answer.json())["requests"] == 1
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
    assert orjson.loads(report.read_bytes())["rejected"] == {"no_data": 1}
