"""The outbox of Meta's events: what each delivery of an order makes of its row."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import orjson
import pytest
import structlog

from destinations.delivery.answer import account
from destinations.delivery.ledger import (
    claim,
    expire,
    settle,
    settle_sent,
    take_back,
)
from destinations.delivery.protocol import Context
from destinations.delivery.results import Attempt, dead, sent
from destinations.delivery.rows import OutboxRow
from destinations.delivery.verdict import ErrorClass, Verdict
from destinations.meta.destination import REPEAT_MS
from destinations.meta.event.click import DAY_MS
from stream.record import Entry
from stream.store.contract import Store
from stream.store.sql.store import SqlStore
from tests.support.delivery.capi_orders import (
    ACCOUNT,
    FBCLID,
    NOW,
    NOW_MS,
    SHOP,
    record,
    seen,
    settings,
)
from tests.support.delivery.capi_orders import processor as outbox_processor
from tests.support.delivery.outbox import (
    HOUR_MS,
    META,
    REFUSED,
    SENT,
    UNANSWERED,
    assert_cells_are_the_sum_over_rows,
    failed,
    fold,
    later,
    rows,
    take,
    waiting,
)


def test_a_paid_order_waits_with_its_payload_and_its_match_keys(store: SqlStore) -> None:
    fold(store, seen())
    (row,) = rows(store)
    assert (row.outcome, row.event_id, row.order_id, row.due_ms) == (
        "pending",
        "1001",
        "1001",
        NOW_MS,
    )
    assert (
        row.match_keys
        == "em,ph,fn,ln,ct,st,zp,country,external_id,client_ip_address,client_user_agent,fbc,fbp"
    )
    assert_cells_are_the_sum_over_rows(store)


def test_an_order_is_skipped_with_its_reason_until_it_is_seen_paid(store: SqlStore) -> None:
    fold(store, seen(financial_status="pending"))
    assert [(row.outcome, row.reason) for row in rows(store)] == [
        ("skipped", "unpaid: financial_status is pending")
    ]
    fold(store, seen(**later(1)))
    assert [(row.outcome, row.reason) for row in rows(store)] == [("pending", "")]
    assert_cells_are_the_sum_over_rows(store)


def test_an_order_cancelled_before_it_was_sent_is_not_sent_and_a_late_delivery_does_not_change_that(
    store: SqlStore,
) -> None:
    fold(store, seen())
    fold(store, seen(cancelled_at=NOW.isoformat(), **later(2)))
    fold(store, seen(**later(1)))
    assert [(row.outcome, row.payload) for row in rows(store)] == [("skipped", b"")]
    assert_cells_are_the_sum_over_rows(store)


UNAVAILABLE = Verdict(ErrorClass.TRANSIENT, http_status=503)


CANCELLED: dict[str, Any] = {"cancelled_at": NOW.isoformat(), **later(2)}


TRIED = Attempt(NOW_MS, 5, "transient", 503)


@pytest.mark.parametrize(
    ("made", "outcome", "reason"),
    [
        (lambda row: failed(row, TRIED, UNAVAILABLE), "skipped", "the order is cancelled"),
        (lambda row: waiting(row, NOW_MS, None), "skipped", "the order is cancelled"),
        (lambda row: dead(row, TRIED, REFUSED.reason), "skipped", "the order is cancelled"),
        (
            lambda row: failed(row, TRIED, UNANSWERED),
            "skipped",
            "the order is cancelled; it was sent before, and may have been taken",
        ),
        (lambda row: sent(row, SENT), "sent", ""),
    ],
)
@pytest.mark.parametrize("when", ["while it is sent", "after that"])
def test_an_order_cancelled_while_it_is_sent_is_not_sent_again(
    store: SqlStore, made: Callable[[OutboxRow], OutboxRow], outcome: str, reason: str, when: str
) -> None:
    fold(store, seen())
    mine = take(store)
    if when == "while it is sent":
        fold(store, seen(**CANCELLED), seen(**later(1)))
    with store.begin() as transaction:
        settle(transaction, "a", [made(row) for row in mine])
    if when == "after that":
        fold(store, seen(**CANCELLED))
    fold(store, seen(**later(1)))
    assert [(row.outcome, row.reason, row.payload, row.veto) for row in rows(store)] == [
        (outcome, reason, b"", "")
    ]
    assert take(store, "b", NOW_MS + HOUR_MS) == []
    assert_cells_are_the_sum_over_rows(store)


def answered(consent: str) -> dict[str, Any]:
    return {"note_attributes": [{"name": "marketing", "value": consent}]}


def test_consent_withdrawn_while_the_sender_dies_ends_it_and_nothing_is_built_anew(
    store: SqlStore,
) -> None:
    chosen = settings(consent="marketing")
    yes, no = answered("yes"), answered("no")
    fold(store, seen(**yes), chosen=chosen)
    take(store, "dead")
    fold(store, seen(**no, **later(2)), chosen=chosen)
    with store.begin() as transaction:
        assert take_back(transaction, SHOP, ACCOUNT, NOW_MS + HOUR_MS, REPEAT_MS) == 1
    assert take(store, "b", NOW_MS + HOUR_MS) == []
    fold(store, seen(**yes, **later(3)), chosen=chosen)
    assert [(row.outcome, row.payload) for row in rows(store)] == [("no_consent", b"")]
    assert_cells_are_the_sum_over_rows(store)


def test_consent_that_comes_back_before_the_attempt_is_over_lets_it_go_on_with_the_same_payload(
    store: SqlStore,
) -> None:
    chosen = settings(consent="marketing")
    yes, no = answered("yes"), answered("no")
    fold(store, seen(**yes), chosen=chosen)
    mine = take(store)
    fold(store, seen(**no, **later(2)), seen(**yes, **later(3)), chosen=chosen)
    with store.begin() as transaction:
        settle(transaction, "a", [failed(row, TRIED, UNAVAILABLE) for row in mine])
    assert [(row.outcome, row.reason, row.payload) for row in rows(store)] == [
        ("pending", "", mine[0].payload)
    ]
    fold(store, seen(**no, **later(2)), chosen=chosen)
    assert [row.outcome for row in rows(store)] == ["pending"]


def delete(store: Store, order_id: int = 1001, **changes: Any) -> None:
    processor = outbox_processor(settings(**changes))
    event = processor.decode(Entry(record({"id": order_id}, topic="orders/delete"), 0, 0))
    assert event is not None
    with store.begin() as transaction:
        processor.apply(transaction, [event], NOW_MS)


@pytest.mark.parametrize("template", ["{order_id}", "{checkout_token}"])
@pytest.mark.parametrize(
    "steps",
    [
        ("order", "delete", "order"),
        ("delete", "order"),
        ("order", "claim", "delete", "fails", "order"),
    ],
)
def test_a_deleted_order_is_not_sent_whatever_is_still_delivered_of_it(
    store: SqlStore, template: str, steps: tuple[str, ...]
) -> None:
    mine: list[OutboxRow] = []
    for minute, step in enumerate(steps):
        if step == "order":
            fold(store, seen(**later(minute)), chosen=settings(event_id=template))
        elif step == "delete":
            delete(store, event_id=template)
        elif step == "claim":
            mine = take(store)
        else:
            with store.begin() as transaction:
                settle(transaction, "a", [failed(row, TRIED, UNAVAILABLE) for row in mine])
    assert [(row.outcome, row.reason, row.payload) for row in rows(store)] == [
        ("skipped", "the order was deleted", b"")
    ]
    assert_cells_are_the_sum_over_rows(store)


def test_a_deleted_order_was_sent_all_the_same(store: SqlStore) -> None:
    fold(store, seen())
    mine = take(store)
    delete(store)
    with store.begin() as transaction:
        settle_sent(transaction, store.dialect, mine, SENT)
    delete(store)
    assert [(row.outcome, row.reason) for row in rows(store)] == [("sent", "")]


def test_what_was_sent_stays_sent(store: SqlStore) -> None:
    fold(store, seen())
    with store.begin() as transaction:
        settle_sent(
            transaction,
            store.dialect,
            claim(transaction, store.dialect, SHOP, ACCOUNT, "a", NOW_MS, 60_000, 10),
            SENT,
        )
    fold(store, seen(**later(5)), seen(cancelled_at=NOW.isoformat(), **later(6)))
    (row,) = rows(store)
    assert (row.outcome, row.payload, row.sent_ms) == ("sent", b"", NOW_MS + 40)
    assert_cells_are_the_sum_over_rows(store)


def test_too_little_identity_is_predicted_and_not_sent(store: SqlStore) -> None:
    nobody: dict[str, Any] = dict.fromkeys(
        (
            "email",
            "customer",
            "client_details",
            "note_attributes",
            "landing_site",
            "shipping_address",
        )
    )
    fold(store, seen(billing_address={"city": "Paris", "country_code": "FR"}, **nobody))
    (row,) = rows(store)
    assert (row.outcome, row.reason) == (
        "skipped",
        "predicted rejection 2804050: too little customer information",
    )
    with store.snapshot() as snapshot:
        assert account(snapshot, META, NOW_MS).predicted_rejections == {"2804050": 1}


def test_a_click_keeps_the_time_when_it_was_first_seen_over_several_orders(store: SqlStore) -> None:
    first = NOW - timedelta(days=3)
    fold(store, seen(order_id=1, made=first))
    fold(store, seen(order_id=2), seen(order_id=3, landing_site=f"/?fbclid={FBCLID[:-1]}x"))
    times = {
        row.order_id: row.payload.split(b'"fbc":"fb.1.')[1].split(b".")[0].decode()
        for row in rows(store)
    }
    first_ms, now_ms = str(int(first.timestamp() * 1000)), str(NOW_MS - 60_000)
    assert times == {"1": first_ms, "2": first_ms, "3": now_ms}
    with store.begin() as transaction:
        outbox_processor().tick(transaction, NOW_MS + 95 * DAY_MS)
        assert transaction.query("SELECT click FROM meta_click") == []


def test_the_carts_own_fbc_comes_before_one_that_is_built(store: SqlStore) -> None:
    own = f"fb.1.{NOW_MS - 5000}.AbC"
    fold(store, seen(note_attributes=[{"name": "_fbc", "value": own}]))
    assert f'"fbc":"{own}"'.encode() in rows(store)[0].payload


@pytest.mark.parametrize(
    ("fbclid", "sent_as"), [(FBCLID, None), ("Another1", f"fb.1.{NOW_MS - 60_000}.{FBCLID}")]
)
def test_a_cookie_that_is_too_old_still_shows_when_its_click_was_first_seen(
    store: SqlStore, fbclid: str, sent_as: str | None
) -> None:
    fold(
        store,
        seen(note_attributes=[{"name": "_fbc", "value": f"fb.1.{NOW_MS - 100 * DAY_MS}.{fbclid}"}]),
    )
    assert orjson.loads(rows(store)[0].payload)["user_data"].get("fbc") == sent_as


WITH_THE_ORDER = {"id": 7, "created_at": NOW.isoformat()}


@pytest.mark.parametrize(
    ("source", "customer", "worth", "sent"),
    [
        ("web", WITH_THE_ORDER, 7_123, 71.23),
        ("web", WITH_THE_ORDER, None, None),
        ("web", WITH_THE_ORDER, 0, None),
        ("web", {"id": 7, "created_at": "2020-01-01T00:00:00Z"}, 7_123, None),
        ("pos", WITH_THE_ORDER, 7_123, None),
    ],
    ids=["first order", "no model", "no value", "older customer", "not of a website"],
)
def test_predicted_ltv_goes_with_the_first_order_of_a_website_only(
    store: SqlStore, source: str, customer: dict[str, Any], worth: int | None, sent: float | None
) -> None:
    processor = outbox_processor(
        settings(send_predicted_ltv=True),
        context=Context(lambda _: None if worth is None else (worth, "EUR")),
    )
    with store.begin() as transaction:
        processor.apply(transaction, [seen(source_name=source, customer=customer)], NOW_MS)
    custom_data = orjson.loads(rows(store)[0].payload)["custom_data"]
    assert custom_data.get("predicted_ltv") == sent


@pytest.mark.parametrize(
    ("topic", "shop"),
    [("refunds/create", SHOP), ("orders/edited", SHOP), ("orders/paid", "other.myshopify.com")],
)
def test_only_whole_orders_and_deletions_of_configured_shops_are_read(
    topic: str, shop: str
) -> None:
    processor = outbox_processor(settings())
    assert (
        processor.decode(Entry(record({"id": 1, "order_id": 2}, topic=topic, shop=shop), 0, 0))
        is None
    )


def test_a_sale_at_the_counter_may_be_old_but_is_not_retried_for_longer_than_7_days(
    store: SqlStore,
) -> None:
    fold(store, seen(source_name="pos", made=NOW - timedelta(days=20)))
    assert [row.expires_ms for row in rows(store)] == [NOW_MS + 7 * DAY_MS]


def test_a_sale_that_waited_too_long_expired_whatever_is_delivered_of_it_then(
    store: SqlStore,
) -> None:
    fold(store, seen())
    fold(store, seen(received_ms=NOW_MS + 8 * DAY_MS, **later(5)))
    with store.begin() as transaction:
        expire(transaction, NOW_MS + 8 * DAY_MS)
    assert [row.outcome for row in rows(store)] == ["expired"]


def test_a_web_sale_without_a_user_agent_is_sent_with_a_warning(store: SqlStore) -> None:
    with structlog.testing.capture_logs() as logs:
        fold(store, seen(client_details={"browser_ip": "203.0.113.7"}), seen(order_id=2))
    assert [row.outcome for row in rows(store)] == ["pending", "pending"]
    assert logs == [
        {
            "event": "capi_no_user_agent",
            "log_level": "warning",
            "shop": SHOP,
            "order_id": "1001",
            "orders": 1,
            "not_shown": 0,
        }
    ]


def test_a_shop_is_warned_once_a_minute_however_many_of_its_sales_lack_a_user_agent(
    store: SqlStore,
) -> None:
    folding = outbox_processor(settings())
    with structlog.testing.capture_logs() as logs:
        for number in (1, 2, 3):
            with store.begin() as transaction:
                event = seen(order_id=number, client_details={})
                folding.apply(transaction, [event], NOW_MS)
    assert [(line["event"], line["order_id"]) for line in logs] == [("capi_no_user_agent", "1")]
