"""/v1/status, /readyz, /healthz and /metrics: what roles say of themselves, and what the log and
the store say of everyone."""

import asyncio
import json
from typing import Any

from orderwire.serve.schedule import ledger
from processors.engine.feed import Feed
from processors.engine.parking import PARKED_CELLS
from processors.engine.projection import NEVER, PROJECTIONS, new_row
from processors.engine.stops import StoppedShop, begin
from query.as_of import Lags, lag_records
from query.services import SERVICES
from stream.log.contract import Log, Span
from stream.log.sqlite.log import SqliteLog
from stream.record import Record
from stream.store.contract import Move, Position
from stream.store.sql.store import SqlStore
from stream.times import instant
from tests.support.api.api_client import NOW_MS, SETTINGS, serving
from tests.support.shopify.orders import SHOP


def beat(store: SqlStore, role: str, *, ago_ms: int = 0, **details: Any) -> None:
    with store.begin() as transaction:
        transaction.execute(
            "INSERT INTO roles (role, instance, pid, started_ms, restarts, beat_ms, details, "
            "metrics) VALUES (:role, :role, 42, :started, 1, :beat, :details, '')",
            role=role,
            started=NOW_MS - 60_000,
            beat=NOW_MS - ago_ms,
            details=json.dumps(details),
        )


async def test_status_shows_roles_positions_lag_spool_and_parked(
    store: SqlStore, log: SqliteLog
) -> None:
    await log.append(
        [
            Record("orders", "k", f"{n}", NOW_MS - 1_000 * (9 - n), {"shop": SHOP}, b"{}")
            for n in range(5)
        ]
    )
    spool = {"records": 2, "bytes": 90, "oldest_s": 1.5, "set_aside": 3}
    beat(store, "receive", spool=spool)
    beat(store, "process", ago_ms=16_000)
    with store.begin() as transaction:
        transaction.advance("orders", "orders", {0: Move(None, 3, 3)}, NOW_MS)
        transaction.advance("odd", "ads", {0: Move(None, 1, 1)}, NOW_MS)
        transaction.add(PARKED_CELLS, {(SHOP, "malformed_json"): (2,), ("", "no_shop"): (1,)})
    async with serving(store, log) as api:
        found = await api.answer("/v1/status")
    assert [
        (role["role"], role["pid"], role["restarts"], role["alive"]) for role in found["roles"]
    ] == [
        ("process", 42, 1, False),
        ("receive", 42, 1, True),
    ]
    processors = {(each["name"], each["topic"]): each for each in found["processors"]}
    rfm = processors["orders", "orders"]
    assert (rfm["partitions"], rfm["lag_records"], rfm["records"], rfm["oldest_s"]) == (
        1,
        2,
        3,
        6.0,
    )
    assert processors["capi", "orders"]["lag_records"] == 5
    assert processors["odd", "ads"]["records"] == 1
    assert found["spool"] == spool
    assert found["parked"] == {"records": 3, "by_reason": {"malformed_json": 2, "no_shop": 1}}
    assert (found["log"], found["store"], found["shop"]) == ("sqlite", store.dialect, SHOP)
    assert found["version"]


async def test_parked_records_of_one_shop_are_distinguished(
    store: SqlStore, log: SqliteLog
) -> None:
    with store.begin() as transaction:
        transaction.add(PARKED_CELLS, {(SHOP, "a"): (2,), ("other.myshopify.com", "a"): (5,)})
    async with serving(store, log) as api:
        assert (await api.answer("/v1/status"))["parked"]["records"] == 7
        assert (await api.answer("/v1/status", {"shop": SHOP}))["parked"]["records"] == 2


async def test_projections_are_shown_with_the_shops_recounted_and_those_that_have_stopped(
    store: SqlStore, log: SqliteLog
) -> None:
    other = "other.myshopify.com"
    with store.begin() as transaction:
        rows = [
            new_row(SHOP, "rfm", 1)._replace(
                building=1, building_version=2, counted=7, started_ms=NOW_MS
            ),
            new_row(other, "rfm", NEVER)._replace(stopped="KeyError"),
            new_row(other, "carts", NEVER),
        ]
        transaction.save(PROJECTIONS, rows)
    async with serving(store, log) as api:
        carts, rfm = (await api.answer("/v1/status"))["projections"]
        (own,) = (await api.answer("/v1/status", {"shop": SHOP}))["projections"]
    assert (rfm["name"], rfm["version"], rfm["shops"]) == ("rfm", 1, 1)
    assert rfm["rebuilding"] == [
        {"shop": SHOP, "version": 2, "entities": 7, "since": instant(NOW_MS)}
    ]
    (stopped,) = rfm["stopped"]
    assert (stopped["shop"], stopped["reason"]) == (other, "its formula failed: KeyError")
    assert f"orderwire rebuild rfm --shop {other}" in stopped["go_on"]
    assert (carts["version"], carts["stopped"]) == (None, [])
    assert carts["rebuilding"] == [{"shop": other, "version": None, "entities": 0, "since": None}]
    assert (own["name"], own["stopped"]) == ("rfm", [])


async def test_jobs_are_shown_with_the_shops_for_which_they_fail(
    store: SqlStore, log: SqliteLog
) -> None:
    other = "other.myshopify.com"
    with store.begin() as transaction:
        ledger.register(transaction, [("spend", SHOP), ("spend", other)], NOW_MS - 60_000)
        for shop in (SHOP, other):
            claim = ledger.claim(transaction, "spend", shop, "one", NOW_MS - 60_000, 60_000)
            assert claim is not None
            if shop == other:
                ledger.failed(transaction, claim, NOW_MS - 50_000, "no token")
            else:
                ledger.succeeded(transaction, claim, NOW_MS - 50_000, NOW_MS + 1_000, "2 days")
    async with serving(store, log) as api:
        (job,) = (await api.answer("/v1/status"))["jobs"]
        (own,) = (await api.answer("/v1/status", {"shop": SHOP}))["jobs"]
    assert (job["name"], job["shops"], job["running"], job["overdue_s"]) == ("spend", 2, 0, 40.0)
    assert (job["succeeded_at"], job["note"]) == (instant(NOW_MS - 50_000), "2 days")
    assert job["failing"] == [
        {
            "shop": other,
            "since": instant(NOW_MS - 50_000),
            "failures": 1,
            "reason": "no token",
            "succeeded_at": None,
            "next_at": instant(NOW_MS - 40_000),
        }
    ]
    assert (own["shops"], own["failing"], own["overdue_s"]) == (1, [], 0.0)
    assert own["next_at"] == instant(NOW_MS + 1_000)


async def test_a_processor_that_stopped_makes_it_unready_and_a_used_spool_is_reported(
    store: SqlStore, log: SqliteLog
) -> None:
    beat(store, "receive", spool={"records": 2, "bytes": 90, "oldest_s": 1.5})
    async with serving(store, log) as api:
        await api.answer("/v1/rfm")
        found = await api.answer("/readyz")
        assert found["ready"]
        assert found["reasons"] == []
        assert "2 records wait in the spool" in found["notes"][0]
        beat(store, "process", stopped={"orders": "too much parked"})
        assert (await api.answer("/readyz", status=503))["reasons"] == [
            "processor orders stopped: too much parked"
        ]
        assert {
            each["name"]: each["stopped"] for each in (await api.answer("/v1/status"))["processors"]
        }["orders"] == "too much parked"
        assert await api.answer("/healthz") == {"ok": True}


def stop(store: SqlStore, shop: str, *, stopped: int = 1) -> None:
    row = StoppedShop("orders", "orders", 0, shop, 3, stopped, 0, "100 in a row", NOW_MS)
    with store.begin() as transaction:
        begin(transaction, [row])


async def test_a_shop_that_a_processor_goes_without_is_shown_and_makes_nobody_unready(
    store: SqlStore, log: SqliteLog
) -> None:
    failing = {"processor": "carts", "tick": "carts", "shop": SHOP, "reason": "its tick failed"}
    beat(store, "process", ticks=[failing])
    stop(store, "other.myshopify.com")
    async with serving(store, log) as api:
        await api.answer("/v1/rfm")
        found = await api.answer("/readyz")
        assert found["ready"]
        assert "processor orders has stopped for a shop: 100 in a row" in found["notes"]
        shown = (await api.answer("/v1/status"))["stopped_shops"]
        assert [(each["processor"], each["shop"], each["state"]) for each in shown] == [
            ("orders", "other.myshopify.com", "stopped"),
            ("carts", SHOP, "tick_failing"),
        ]
        assert "orderwire replay --resume --processor orders --shop other" in shown[0]["go_on"]
        one = (await api.answer("/v1/status", {"shop": SHOP}))["stopped_shops"]
        assert [each["processor"] for each in one] == ["carts"]


async def test_a_processor_that_goes_without_its_only_shop_makes_it_unready(
    store: SqlStore, log: SqliteLog
) -> None:
    stop(store, SHOP)
    async with serving(store, log) as api:
        await api.answer("/v1/rfm")
        (reason,) = (await api.answer("/readyz", status=503))["reasons"]
        assert reason.startswith("processor orders stopped: 100 in a row; ")


async def test_a_part_of_a_role_that_is_no_processor_is_a_note(
    store: SqlStore, log: SqliteLog
) -> None:
    beat(store, "process", parts={"retention": "KeyError"})
    async with serving(store, log) as api:
        await api.answer("/v1/rfm")
        assert "retention stopped: KeyError" in (await api.answer("/readyz"))["notes"]


async def test_a_receiver_that_refuses_makes_it_unready_in_words_that_anybody_may_read(
    store: SqlStore, log: SqliteLog
) -> None:
    beat(store, "receive", refusing="log /secret/place/log.db: the disk is full")
    async with serving(store, log) as api:
        await api.answer("/v1/rfm")
        assert (await api.answer("/readyz", status=503))["reasons"] == [
            "role receive (receive) refuses deliveries: its disk is full"
        ]


async def test_a_spool_that_cannot_be_read_is_reported(store: SqlStore, log: SqliteLog) -> None:
    beat(store, "receive", spool={"error": "spool data/spool.db: file is not a database"})
    async with serving(store, log) as api:
        await api.answer("/v1/rfm")
        assert "spool.db: file is not a database" in (await api.answer("/readyz"))["notes"][0]
        assert (await api.answer("/v1/status"))["spool"]["records"] == 0


async def test_what_a_role_said_before_it_died_no_longer_counts(
    store: SqlStore, log: SqliteLog
) -> None:
    beat(store, "process", ago_ms=20_000, stopped={"orders": "too much parked"})
    async with serving(store, log) as api:
        await api.answer("/v1/rfm")
        found = await api.answer("/readyz")
        assert "no fresh heartbeat" in found["notes"][0]


async def test_it_is_unready_while_nobody_folds_and_ready_again_with_the_next_sign_of_life(
    store: SqlStore, log: SqliteLog
) -> None:
    now_ms = NOW_MS
    async with serving(store, log, clock=lambda: now_ms) as api:
        await api.answer("/v1/rfm")
        assert (await api.answer("/readyz"))["ready"], (
            "at a first start nobody has said anything yet"
        )
        beat(store, "process")
        now_ms += 14_000
        assert (await api.answer("/readyz"))["ready"]
        now_ms += 2_000
        assert (await api.answer("/readyz", status=503))["reasons"] == [
            "no process role has a fresh heartbeat"
        ]
        beat(store, "receive", ago_ms=-31_000)
        assert (await api.answer("/readyz", status=503))["reasons"], "a receiver folds nothing"
        with store.begin() as transaction:
            transaction.execute("UPDATE roles SET beat_ms = :now", now=now_ms)
        assert (await api.answer("/readyz"))["ready"]


async def test_it_is_unready_while_a_processor_does_not_move_although_there_is_something_to_read(
    store: SqlStore, log: SqliteLog
) -> None:
    now_ms = NOW_MS

    def passes(seconds: int) -> None:
        nonlocal now_ms
        now_ms += seconds * 1_000
        with store.begin() as transaction:
            transaction.execute("UPDATE roles SET beat_ms = :now", now=now_ms)

    def folds(loaded: int | None, following: int) -> None:
        with store.begin() as transaction:
            transaction.advance("orders", "orders", {0: Move(loaded, following, 1)}, now_ms)

    beat(store, "process")
    async with serving(
        store, log, clock=lambda: now_ms, processors=(Feed("orders", "orders"),)
    ) as api:
        await api.answer("/v1/rfm")
        for _ in range(3):
            passes(600)
            assert (await api.answer("/readyz"))["ready"], "nothing to read"
        await log.append(
            [
                Record("orders", "k", f"{n}", NOW_MS - 86_400_000, {"shop": SHOP}, b"{}")
                for n in range(3)
            ]
        )
        assert (await api.answer("/readyz"))["ready"], (
            "a backlog, however old, has only been seen now"
        )
        passes(19)
        assert (await api.answer("/readyz"))["ready"]
        folds(None, 1)
        passes(19)
        assert (await api.answer("/readyz"))["ready"], "it is behind, and moves"
        passes(3_600)
        assert (await api.answer("/readyz", status=503))["reasons"] == [
            "processor orders has not moved on orders for 3600 s"
        ]
        folds(1, 2)
        assert (await api.answer("/readyz"))["ready"]
        folds(2, 3)
        passes(3_600)
        assert (await api.answer("/readyz"))["ready"], "everything is read"


async def test_a_log_that_does_not_answer_and_a_shutdown_make_it_unready(
    store: SqlStore, log: SqliteLog
) -> None:
    async with serving(store, log) as api:
        await api.answer("/v1/rfm")
        await log.close()
        assert (await api.answer("/readyz", status=503))["reasons"] == ["the log does not answer"]
        assert api.client.app is not None
        api.client.app[SERVICES].ready = False
        assert "shutting down" in (await api.answer("/readyz", status=503))["reasons"]


async def test_metrics_are_the_apis_own_until_others_are_known(
    store: SqlStore, log: SqliteLog
) -> None:
    async with serving(store, log) as api:
        await api.answer("/v1/rfm")
        async with api.client.get("/metrics") as response:
            assert response.content_type == "text/plain"
            text = await response.text()
    assert (
        'orderwire_api_answers_total{role="query",instance="me",route="/v1/rfm",status="200"}'
        in (text)
    )


class SlowLog:
    """Only `spans`, each answer held until it is let go; answers are numbered."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[asyncio.Event] = asyncio.Queue()
        self.questions = 0

    async def spans(self, topic: str) -> dict[int, Span]:
        self.questions += 1
        number, go = self.questions, asyncio.Event()
        self.asked.put_nowait(go)
        await go.wait()
        return {0: Span(0, number)}


async def test_questions_to_the_log_that_come_together_are_one_and_never_answered_from_before() -> (
    None
):
    source = SlowLog()
    lags = Lags(source, timeout_s=60)  # type: ignore[arg-type]
    first = asyncio.create_task(lags.spans({"orders"}))
    go = await source.asked.get()
    later = [asyncio.create_task(lags.spans({"orders"})) for _ in range(5)]
    await asyncio.sleep(0)
    go.set()
    assert (await first)["orders"][0].next == 1
    (await source.asked.get()).set()
    assert [(await each)["orders"][0].next for each in later] == [2] * 5
    assert source.questions == 2


async def test_a_log_that_takes_too_long_says_nothing() -> None:
    source: Log = SlowLog()  # type: ignore[assignment]
    assert await Lags(source, timeout_s=0.001).spans({"orders"}) == {}


def test_lag_counts_from_the_first_record_kept_where_there_is_no_position() -> None:
    feeds, spans = (Feed("orders", "orders"),), {"orders": {0: Span(10, 15), 1: Span(0, 4)}}
    position = Position("orders", "orders", 1, 6, 6, 0, 6)
    assert lag_records(feeds, [position], spans) == 5
    assert lag_records(feeds, [], {}) is None
    assert SETTINGS.role_silent_ms == 15_000
