"""After a redaction nothing names the person, wherever one looks, and no total has moved."""

import json
import stat
from pathlib import Path

import pytest
from msgspec import structs

from orderwire.operation.standing import read
from orderwire.serve.upkeep.redacting import Redacting, answer_data_request
from orderwire.settings.program import Settings
from processors.privacy.rows import CLOSED, ERASED
from processors.privacy.subject import Subject, is_redacted
from stream.log.spool_file import aside, wrap
from stream.log.sqlite.log import SqliteLog
from stream.store.contract import Store
from stream.store.sql.store import SqlStore
from tests.support.shops.redacted_person import (
    BROWSER,
    CUSTOMER,
    EMAIL,
    IDENTIFIERS,
    ORDERS,
    delivery,
    order,
    records,
    request,
)
from tests.support.shops.shop_world import NOW_MS, SHOP, deliveries, everything, fold_all
from tests.support.shops.shop_world import records as of_shop
from tests.system.checks import assert_aggregates_are_sums

pytest_plugins = ["tests.support.shops.shop_fixtures"]
LATER = NOW_MS + 3_600_000
CELLS = (
    *("rfm_cell", "rfm_last_day_cell", "rfm_btyd_cell", "rfm_spend_cell", "rfm_left_out_cell"),
    *("budget_cell", "cart_open", "cart_closed", "cart_spell", "cart_landmark", "cart_cohort"),
    *("cart_begun", "order_currency_cell", "day_cell", "cohort_cell"),
)


@pytest.fixture
def settings(shop_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("SHOPIFY_KEEP_HASHED_CONTACTS", "true")
    return Settings.load()


@pytest.fixture
async def world(settings: Settings, store: SqlStore, log: SqliteLog) -> None:
    """A shop with 40 visits, among them the person's."""
    others = of_shop(deliveries(40))
    await log.append([*others[:20], *records(), *others[20:]])
    await fold_all(settings, log, store)


def totals(store: SqlStore) -> dict[str, list[tuple[object, ...]]]:
    """The aggregates' numbers that are not zero."""
    found = everything(store)
    return {
        table: [row for row in found[table] if any(isinstance(v, int) and v for v in row[-1:])]
        for table in CELLS
    }


def traces(settings: Settings, store: SqlStore) -> list[str]:
    """Where an identifier still is: tables, files."""
    texts = {f"table {name}": repr(rows) for name, rows in everything(store).items()}
    found = [
        f"{who} in {place}" for place, text in texts.items() for who in IDENTIFIERS if who in text
    ]
    files = [settings.log_file, settings.store_file]
    for path in (Path(f"{file}{end}") for file in files if file for end in ("", "-wal")):
        if path.exists():
            held = path.read_bytes()
            found += [f"{who} in {path.name}" for who in IDENTIFIERS if who.encode() in held]
    return found


async def redact(settings: Settings, store: SqlStore, log: SqliteLog, topic: str) -> Redacting:
    await log.append([request(topic)])
    await fold_all(settings, log, store)
    redacting = Redacting(settings, store, lambda: LATER)
    assert redacting.work() == []
    return redacting


def states(store: SqlStore) -> list[str]:
    with store.snapshot() as snapshot:
        return [row.state for row in snapshot.query("SELECT state FROM redaction ORDER BY id")]


@pytest.mark.usefixtures("world")
async def test_after_customers_redact_nothing_names_the_person_and_no_total_moved(
    settings: Settings, store: SqlStore, log: SqliteLog
) -> None:
    before = totals(store)
    assert {trace.partition(" in ")[0] for trace in traces(settings, store)} >= {
        EMAIL,
        BROWSER,
        str(CUSTOMER),
    }
    await redact(settings, store, log, "customers/redact")
    assert traces(settings, store) == []
    assert totals(store) == before
    assert_aggregates_are_sums(store)
    assert states(store) == [ERASED]
    with store.snapshot() as snapshot:
        (evidence,) = snapshot.query("SELECT subject, counts, erased_ms FROM redaction")
        orders = snapshot.query(
            "SELECT order_id, customer FROM shop_order WHERE order_id IN (:one, :other)",
            one=str(ORDERS[0]),
            other=str(ORDERS[1]),
        )
    assert evidence.subject == ""
    assert evidence.erased_ms == LATER
    assert json.loads(evidence.counts)["orders"] == 2
    assert json.loads(evidence.counts)["records"] >= 8
    (anonymous,) = {row.customer for row in orders}
    assert is_redacted(anonymous)


@pytest.mark.usefixtures("world")
async def test_what_was_not_sent_of_a_redacted_person_is_not_sent(
    settings: Settings, store: SqlStore, log: SqliteLog
) -> None:
    await redact(settings, store, log, "customers/redact")
    with store.snapshot() as snapshot:
        rows = snapshot.query(
            "SELECT outcome, reason, payload, checkout_token FROM outbox WHERE order_id = :order",
            order=str(ORDERS[1]),
        )
    assert [(row.outcome, bytes(row.payload), row.checkout_token) for row in rows] == [
        ("expired", b"", "")
    ]
    assert "redacted" in rows[0].reason


@pytest.mark.usefixtures("world")
async def test_a_redaction_asked_twice_and_done_twice_changes_nothing_more(
    settings: Settings, store: SqlStore, log: SqliteLog
) -> None:
    redacting = await redact(settings, store, log, "customers/redact")
    done = everything(store)
    await log.append([request("customers/redact", NOW_MS + 1)])
    await fold_all(settings, log, store)
    assert redacting.work() == []
    ignored = ("positions", "browser_shop")
    assert {k: v for k, v in everything(store).items() if k not in ignored} == {
        k: v for k, v in done.items() if k not in ignored
    }


@pytest.mark.usefixtures("world")
async def test_late_deliveries_bring_nobody_back_and_count_nobody_twice(
    settings: Settings, store: SqlStore, log: SqliteLog
) -> None:
    before = totals(store)
    redacting = await redact(settings, store, log, "customers/redact")
    late = [one for one in records() if one.headers.get("topic") != "customers/merge"]
    retried = delivery("orders/updated", order(1), LATER + 60_000, "p-9")
    await log.append([retried, *(structs.replace(one, time_ms=LATER + 9) for one in late)])
    await fold_all(settings, log, store)
    redacting.watch()
    assert [each for each in traces(settings, store) if "in table" in each] == []
    assert traces(settings, store) == []
    assert totals(store) == before


@pytest.mark.usefixtures("world")
async def test_a_customer_who_orders_again_later_is_a_new_one(
    settings: Settings, store: SqlStore, log: SqliteLog
) -> None:
    await redact(settings, store, log, "customers/redact")
    after = "2026-11-22T14:30:00+00:00"
    again = order(1) | {
        "id": 8_001_000_009,
        "admin_graphql_api_id": "gid://shopify/Order/8001000009",
        "created_at": after,
        "processed_at": after,
        "updated_at": after,
        "checkout_token": "f00d" * 8,
        "cart_token": None,
    }
    await log.append([delivery("orders/paid", again, LATER + 7_200_000, "p-10")])
    await fold_all(settings, log, store, ["orders", "capi"])
    with store.snapshot() as snapshot:
        (row,) = snapshot.query("SELECT customer FROM shop_order WHERE order_id = '8001000009'")
        sent = snapshot.query("SELECT outcome FROM outbox WHERE order_id = '8001000009'")
    assert row.customer == str(CUSTOMER)
    assert [each.outcome for each in sent] == ["pending"]


class Dies(BaseException):
    """A kill."""


class Mortal:
    """A store of which the n-th transaction dies before it commits."""

    def __init__(self, store: SqlStore, dies_at: int) -> None:
        self._store, self._left = store, dies_at
        self.dialect, self.snapshot = store.dialect, store.snapshot

    def begin(self):  # type: ignore[no-untyped-def]
        from contextlib import contextmanager

        @contextmanager
        def begun():  # type: ignore[no-untyped-def]
            with self._store.begin() as transaction:
                yield transaction
                self._left -= 1
                if self._left == 0:
                    raise Dies

        return begun()

    def close(self) -> None:
        self._store.close()


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("dies_at", range(1, 12, 2))
async def test_a_redaction_that_is_killed_anywhere_goes_on(
    settings: Settings, store: SqlStore, log: SqliteLog, dies_at: int
) -> None:
    before = totals(store)
    await log.append([request()])
    await fold_all(settings, log, store)
    mortal = Redacting(settings, Mortal(store, dies_at), lambda: LATER)
    with pytest.raises(Dies):
        mortal.work()
    assert Redacting(settings, store, lambda: LATER).work() == []
    assert traces(settings, store) == []
    assert totals(store) == before


@pytest.mark.usefixtures("world")
async def test_after_shop_redact_nobody_is_named_and_counts_stay(
    settings: Settings, store: SqlStore, log: SqliteLog
) -> None:
    before = totals(store)
    await redact(settings, store, log, "shop/redact")
    assert traces(settings, store) == []
    assert totals(store) == before
    assert_aggregates_are_sums(store)
    with store.snapshot() as snapshot:
        customers = snapshot.query("SELECT customer FROM shop_order WHERE customer <> ''")
        others = snapshot.query("SELECT COUNT(*) FROM contact")
        open_ones = snapshot.query("SELECT COUNT(*) FROM outbox WHERE due_ms IS NOT NULL")
    assert customers
    assert all(is_redacted(row.customer) for row in customers)
    assert (others[0][0], open_ones[0][0]) == (0, 0)
    for topic in ("orders", "checkouts"):
        for entry in await log.scan(topic, 0, 0, 10_000):
            assert entry.record.body == b""


@pytest.mark.usefixtures("world")
async def test_shop_redact_erases_what_was_there_though_the_clock_was_behind(
    settings: Settings, store: SqlStore, log: SqliteLog
) -> None:
    await log.append([request("shop/redact", NOW_MS - 400 * 86_400_000)])
    await fold_all(settings, log, store)
    assert Redacting(settings, store, lambda: LATER).work() == []
    assert traces(settings, store) == []
    for topic in ("orders", "checkouts"):
        assert {each.record.body for each in await log.scan(topic, 0, 0, 10_000)} == {b""}


@pytest.mark.usefixtures("world")
async def test_shop_redact_spares_what_came_after_it_though_the_clock_was_ahead(
    settings: Settings, store: SqlStore, log: SqliteLog
) -> None:
    waits = delivery("orders/paid", order(0), NOW_MS - 10, "p-12")
    await log.append([waits, request("shop/redact", NOW_MS + 86_400_000)])
    await fold_all(settings, log, store, ["privacy"])
    redacting = Redacting(settings, store, lambda: LATER)
    assert [row.state for row in redacting.work()] == ["stored"]
    after = "2026-11-22T14:30:00+00:00"
    anew = {"id": 8_001_000_077, "created_at": after, "updated_at": after, "currency": "EUR"}
    await log.append([delivery("orders/create", anew, NOW_MS + 5_000, "p-13")])
    await fold_all(settings, log, store)
    assert redacting.work() == []
    *before, last = await log.scan("orders", 0, 0, 10_000)
    assert {each.record.body for each in before} == {b""}
    assert b"8001000077" in last.record.body


@pytest.mark.usefixtures("world")
async def test_a_data_request_writes_a_file_that_only_this_user_reads(
    settings: Settings, store: SqlStore, log: SqliteLog
) -> None:
    await log.append([request("customers/data_request")])
    await fold_all(settings, log, store)
    redacting = Redacting(settings, store, lambda: LATER)
    (row,) = redacting.work()
    path = await answer_data_request(redacting, log, row, settings.privacy_folder)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    answer = json.loads(path.read_text())
    assert {each["order_id"] for each in answer["stored"]["orders"]} == set(map(str, ORDERS))
    assert len(answer["deliveries"]) >= 7
    assert EMAIL in path.read_text()
    assert states(store) == [CLOSED]
    with store.snapshot() as snapshot:
        assert snapshot.query("SELECT subject FROM redaction")[0].subject == ""


async def test_an_uninstalled_app_loses_its_tokens(
    settings: Settings, store: SqlStore, log: SqliteLog
) -> None:
    with store.begin() as transaction:
        transaction.execute(
            "INSERT INTO admin_token (shop, first, access_token, refresh_token, renew_at_s,"
            " claimed_until_s) VALUES (:shop, 'f', 'a', 'r', 0, 0)",
            shop=SHOP,
        )
    await redact(settings, store, log, "app/uninstalled")
    with store.snapshot() as snapshot:
        assert snapshot.query("SELECT 1 FROM admin_token") == []
    assert states(store) == [CLOSED]


@pytest.mark.usefixtures("world")
async def test_records_that_somebody_has_not_read_wait(
    settings: Settings, store: SqlStore, log: SqliteLog
) -> None:
    await log.append([delivery("orders/paid", order(0), NOW_MS - 10, "p-11"), request()])
    await fold_all(settings, log, store, ["privacy"])
    redacting = Redacting(settings, store, lambda: LATER)
    (row,) = redacting.work()
    assert row.state == "stored"
    (late,) = read(settings, store, LATER).redactions
    assert (late.shop, late.requests) == (SHOP, 1)
    await fold_all(settings, log, store)
    assert redacting.work() == []
    assert traces(settings, store) == []
    assert read(settings, store, LATER).redactions == []


@pytest.mark.usefixtures("world")
async def test_what_waits_in_a_spool_is_erased_in_its_file(
    settings: Settings, store: SqlStore, log: SqliteLog, tmp_path: Path
) -> None:
    spool = await SqliteLog.open(tmp_path / "spool.db")
    await spool.append([wrap(one.topic, one) for one in records()])
    await spool.append([aside(one, "too_large") for one in records()])
    await spool.close()
    await log.append([request()])
    await fold_all(settings, log, store)
    on_kafka = settings.model_copy(
        update={"log_url": "kafka://127.0.0.1:1", "spool": tmp_path / "spool.db"}
    )
    assert Redacting(on_kafka, store, lambda: LATER).work() == []
    held = (tmp_path / "spool.db").read_bytes()
    assert [who for who in IDENTIFIERS if who.encode() in held] == []


@pytest.mark.usefixtures("world")
async def test_a_redaction_that_fails_holds_up_no_other(
    settings: Settings, store: SqlStore, log: SqliteLog
) -> None:
    poison = structs.replace(
        request(), id="r-poison", headers={**request().headers, "shop": "other.myshopify.com"}
    )
    await log.append([structs.replace(poison, time_ms=NOW_MS - 5), request()])
    await fold_all(settings, log, store)
    redacting = Redacting(settings, store, lambda: LATER)
    forget = redacting.forget["events"]

    def failing(of: Store, shop: str, subject: Subject) -> int:
        if shop != SHOP:
            raise ZeroDivisionError
        return forget(of, shop, subject)

    redacting.forget = {**redacting.forget, "events": failing}
    assert [row.id for row in redacting.work()] == ["r-poison"]
    assert states(store) == [ERASED, "found"]
