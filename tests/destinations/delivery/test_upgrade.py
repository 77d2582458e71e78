"""A store whose outbox was Meta's only is upgraded in place: every row and every number stays."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from msgspec import to_builtins

from destinations.delivery.answer import ShownAccount, account, order
from destinations.delivery.ledger import COLUMNS, claim
from destinations.delivery.rows import CELLS, DAY_CELLS, OutboxRow, cells
from destinations.meta.kind import KIND
from stream.store.sql.store import SqlStore
from tests.support.delivery.capi_orders import NOW_MS, PIXEL, SHOP
from tests.support.servers.old_store import store_at

DAY_MS = 86_400_000
OLD_PIXEL = "99"
ATTEMPT = (
    f'{{"at_ms":{NOW_MS},"duration_ms":9,"class":"sent","http_status":200,"code":null,'
    '"subcode":null,"fbtrace_id":"T"}\n'
)
WAITING = {"due_ms": NOW_MS, "expires_ms": NOW_MS + DAY_MS, "payload": b"{}", "match_keys": "em,ph"}
EVENTS: Sequence[dict[str, Any]] = (
    {"event_id": "1", "outcome": "pending", **WAITING},
    {"event_id": "2", "outcome": "sending", **WAITING, "claimed_by": "gone"},
    {"event_id": "3", "outcome": "sent", "sent_ms": NOW_MS + 40, "attempts": ATTEMPT},
    {"event_id": "4", "outcome": "maybe_accepted", **WAITING, "ambiguous_ms": NOW_MS},
    {"event_id": "5", "outcome": "dead", **(WAITING | {"due_ms": None})},
    {"event_id": "6", "outcome": "skipped", "reason": "predicted rejection 2804050: too little"},
    {"event_id": "ck7", "order_id": "7", "outcome": "no_consent", "veto": "skipped"},
    {"event_id": "1", "outcome": "sent", "pixel_id": OLD_PIXEL, "received_ms": NOW_MS - DAY_MS},
)
ROW: dict[str, Any] = {
    "shop": SHOP,
    "pixel_id": PIXEL,
    "event_name": "Purchase",
    "updated_us": 5,
    "triggered": "t",
    "digest": "d",
    "reason": "",
    "payload": b"",
    "match_keys": "",
    "event_time_s": NOW_MS // 1000,
    "received_ms": NOW_MS,
    "sent_ms": 0,
    "due_ms": None,
    "expires_ms": None,
    "ambiguous_ms": None,
    "claimed_by": "",
    "tries": 2,
    "attempts": "",
    "veto": "",
}
PIXEL_ROW: dict[str, Any] = {
    "shop": SHOP,
    "pixel_id": PIXEL,
    "paused_since_ms": 7,
    "paused_class": "configuration",
    "paused_code": "190",
    "paused_message": "expired",
    "next_probe_ms": NOW_MS,
    "probes": 3,
    "throttled_until_ms": 11,
    "test_since_ms": 12,
    "test_seen_ms": 13,
    "quality": '{"events": {}, "reason": null}',
    "quality_ms": 14,
}
META = ShownAccount(SHOP, "meta", KIND, PIXEL, 7 * 86_400)


@pytest.fixture(params=["sqlite", "postgresql"])
def old_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'old.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


def insert(connection: sa.Connection, table: str, row: dict[str, Any]) -> None:
    names = ", ".join(row)
    values = ", ".join(f":{name}" for name in row)
    connection.execute(sa.text(f"INSERT INTO {table} ({names}) VALUES ({values})"), row)


def write_old(engine: sa.Engine) -> None:
    """Rows in every table, and the cells that they count in."""

    counted: Counter[tuple[Any, ...]] = Counter()
    with engine.begin() as connection:
        for event in EVENTS:
            row = ROW | {"order_id": event["event_id"]} | event
            insert(connection, "capi_outbox", row)
            new = {name: value for name, value in row.items() if name != "pixel_id"}
            for _, key, (count,) in cells(OutboxRow(destination=row["pixel_id"], **new)):
                counted[key] += count
        for (shop, pixel_id, kind, name), events in counted.items():
            cell = {"shop": shop, "pixel_id": pixel_id, "kind": kind, "name": name}
            insert(connection, "capi_cell", {**cell, "events": events})
        insert(connection, "capi_pixel", PIXEL_ROW)
        held = {"paused_code": "test_event_code", "next_probe_ms": 0}
        insert(connection, "capi_pixel", PIXEL_ROW | {"shop": "testing.myshopify.com"} | held)
        insert(connection, "capi_click", {"shop": SHOP, "click": "c", "seen_ms": 5})


def test_every_row_and_every_number_of_an_older_store_is_kept(old_url: str) -> None:
    engine = store_at(old_url, "0013")
    write_old(engine)
    engine.dispose()
    store = SqlStore.open(old_url)
    with store.begin() as transaction:
        rows = [
            OutboxRow(*row)
            for row in transaction.query(
                f"SELECT {COLUMNS} FROM outbox ORDER BY destination, event_id"
            )
        ]
        expected: Counter[tuple[Any, ...]] = Counter()
        for row in rows:
            for _, key, (count,) in cells(row):
                expected[key] += count
        found = {(*cell[:-1],): cell[-1] for cell in transaction.changes(CELLS, None).rows}
        assert {key: count for key, count in found.items() if count} == dict(expected)
        assert [(row.destination, row.order_id, row.outcome) for row in rows] == [
            *(("meta", "1", "pending"), ("meta", "2", "sending"), ("meta", "3", "sent")),
            *(("meta", "4", "maybe_accepted"), ("meta", "5", "dead"), ("meta", "6", "skipped")),
            *(("meta", "7", "no_consent"), (f"meta-{OLD_PIXEL}", "1", "sent")),
        ]
        for event, row in zip(EVENTS, rows, strict=True):
            before = ROW | {"order_id": event["event_id"]} | event
            kept = row._asdict()
            assert {name: kept[name] for name in before if name != "pixel_id"} == {
                name: value for name, value in before.items() if name != "pixel_id"
            }
            due = before["due_ms"]
            full_until = before["received_ms"] + 30 * DAY_MS
            assert kept["tidy_ms"] == (full_until if due is None else None)
        answer = to_builtins(account(transaction, META, NOW_MS))
        assert {name: count for name, count in answer["outcomes"].items() if count} == {
            **dict.fromkeys(("pending", "sending", "sent", "maybe_accepted", "dead", "skipped"), 1),
            "no_consent": 1,
        }
        assert answer["match_keys"]["em"] == 1.0
        assert answer["predicted_rejections"] == {"2804050": 1}
        assert answer["latency_ms"]["p50"] == pytest.approx(40, rel=0.1)
        assert (answer["state"], answer["paused"]["code"]) == ("paused", 190)
        assert answer["paused"]["next_probe_at"] is not None
        assert answer["dataset_quality"]["as_of"] == "1970-01-01T00:00:00.014Z"
        shown = to_builtins(order(transaction, META, "3"))
        assert shown is not None
        assert shown["attempts"][0]["fbtrace_id"] == "T"
        held = to_builtins(
            account(transaction, META._replace(shop="testing.myshopify.com"), NOW_MS)
        )
        assert held["paused"]["next_probe_at"] is None
        assert transaction.query("SELECT test_since_ms, test_seen_ms FROM meta_account")[0] == (
            12,
            13,
        )
        assert transaction.query("SELECT shop, click, seen_ms FROM meta_click") == [(SHOP, "c", 5)]
        claimed = claim(
            transaction, store.dialect, SHOP, "meta", "new", NOW_MS, 1_000, 10, probe=True
        )
        assert {row.event_id for row in claimed} == {"1", "4"}
    store.close()


ORDER: dict[str, Any] = {
    **dict.fromkeys(("triggered", "digest", "financial_status", "refunds", "customer"), ""),
    **dict.fromkeys(("email", "checkout_token", "cart_token", "name", "source_name"), ""),
    **dict.fromkeys(("country", "province", "landing"), ""),
    **dict.fromkeys(("updated_us", "deleted", "test", "cancelled", "processed_ms", "offset_s"), 0),
    "shop": SHOP,
    "currency": "USD",
    "current_total": 0,
    "detail": b"",
}
ACCOUNT: dict[str, Any] = {
    **dict.fromkeys(("kind", "account", "paused_class", "paused_code"), ""),
    **dict.fromkeys(("paused_message", "paused_by", "failing_cause"), ""),
    **dict.fromkeys(("probes", "throttled_until_ms"), 0),
    "shop": SHOP,
}


def test_what_an_older_program_sent_counts_by_the_day_of_its_orders(old_url: str) -> None:
    engine = store_at(old_url, "0058")
    day = NOW_MS // DAY_MS
    new = {name: value for name, value in ROW.items() if name != "pixel_id"}
    with engine.begin() as connection:
        for number, outcome in enumerate(("sent", "sent", "dead", "pending")):
            event = {"event_id": str(number), "order_id": str(number), "outcome": outcome}
            insert(connection, "outbox", new | {"destination": "meta"} | event)
            if number != 1:
                order_row = {"order_id": str(number), "day": day, "total": 1_000 + number}
                insert(connection, "shop_order", ORDER | order_row)
        for name in ("meta", "other"):
            insert(connection, "destination_account", ACCOUNT | {"destination": name})
        past = {"shop": SHOP, "destination": "meta", "outcome": "sent", "events": 9}
        insert(connection, "outbox_past_cell", past)
    engine.dispose()
    store = SqlStore.open(old_url)
    with store.begin() as transaction:
        found = transaction.query("SELECT event_id, day, value FROM outbox ORDER BY event_id")
        assert found == [("0", day, 1_000), ("1", None, 0), ("2", day, 1_002), ("3", day, 1_003)]
        (cell,) = transaction.changes(DAY_CELLS, None).rows
        assert tuple(cell) == (SHOP, "meta", "Purchase", day, "USD", 1, 1_000)
        since = "SELECT sent_since_day FROM destination_account ORDER BY destination"
        assert transaction.query(since) == [(day + 2,), (None,)]
    store.close()
