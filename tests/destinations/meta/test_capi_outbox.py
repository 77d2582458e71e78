"""The outbox: at most one event per order whatever is delivered, cells that equal the sum over
rows, claims that nobody else gets."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
import structlog
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec import to_builtins

from destinations.delivery import results
from destinations.delivery.accounts import pause, throttle
from destinations.delivery.answer import ShownAccount, account, order, percentile, retry
from destinations.delivery.backoff import GROWING
from destinations.delivery.ledger import (
    COLUMNS,
    ClaimLost,
    claim,
    expire,
    forget_orders,
    register,
    settle,
    settle_sent,
    take_back,
)
from destinations.delivery.protocol import Context
from destinations.delivery.results import Attempt, dead, parsed, sent
from destinations.delivery.rows import CELLS, AccountRow, OutboxRow, cells
from destinations.delivery.schema import Retried
from destinations.delivery.verdict import ErrorClass, Verdict
from destinations.meta.click import DAY_MS
from destinations.meta.destination import REPEAT_MS
from destinations.meta.kind import KIND
from destinations.meta.settings import CapiSettings
from processors.shopify.orders import Order
from stream.record import Entry
from stream.store.contract import Store
from stream.store.sql.store import SqlStore
from tests.support.delivery.capi_orders import (
    ACCOUNT,
    FBCLID,
    NOW,
    NOW_MS,
    PIXEL,
    SHOP,
    record,
    seen,
    settings,
)
from tests.support.delivery.capi_orders import processor as outbox_processor

SENT = Attempt(NOW_MS + 40, 10, "sent", 200, {"code": None, "subcode": None, "fbtrace_id": "T1"})
LEASE_MS = 60_000
HOUR_MS = 3_600_000
REFUSED = Verdict(
    ErrorClass.PERMANENT,
    http_status=400,
    code=100,
    reason="a Purchase without value (code 100, subcode 2804009, HTTP 400, trace T2)",
)
META = ShownAccount(SHOP, ACCOUNT, KIND, PIXEL, 7 * 86_400)


def failed(row: OutboxRow, made: Attempt, verdict: Verdict) -> OutboxRow:
    """As the sender does it, in the middle of the jitter."""
    return results.failed(row, made, verdict, 0.5, GROWING, REPEAT_MS)


def waiting(row: OutboxRow, due_ms: int, made: Attempt | None) -> OutboxRow:
    return results.waiting(row, due_ms, made, repeat_ms=REPEAT_MS)


def rows(store: Store) -> list[OutboxRow]:
    with store.snapshot() as snapshot:
        return [
            OutboxRow(*row)
            for row in snapshot.query(f"SELECT {COLUMNS} FROM outbox ORDER BY order_id")
        ]


def assert_cells_are_the_sum_over_rows(store: Store) -> None:
    expected: Counter[tuple[Any, ...]] = Counter()
    for row in rows(store):
        for _, key, (count,) in cells(row):
            expected[key] += count
    with store.snapshot() as snapshot:
        found = {(*cell[:-1],): cell[-1] for cell in snapshot.changes(CELLS, None).rows}
    assert {key: count for key, count in found.items() if count} == dict(expected)


def fold(store: Store, *orders: Order, chosen: CapiSettings | None = None) -> None:
    processor = outbox_processor(chosen or settings())
    with store.begin() as transaction:
        processor.apply(transaction, orders, NOW_MS)


def take(
    store: Store, claim_id: str = "a", now_ms: int = NOW_MS, limit: int = 1000
) -> list[OutboxRow]:
    with store.begin() as transaction:
        return claim(transaction, store.dialect, SHOP, ACCOUNT, claim_id, now_ms, LEASE_MS, limit)


def later(minutes: int) -> dict[str, Any]:
    return {"updated_at": (NOW + timedelta(minutes=minutes)).isoformat()}


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
UNANSWERED = Verdict(ErrorClass.TRANSIENT, ambiguous=True)
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


def test_an_event_id_by_template_stays_what_it_was(store: SqlStore) -> None:
    chosen = settings(event_id="{checkout_token}")
    fold(store, seen(order_id=1, checkout_token=None, financial_status="pending"), chosen=chosen)
    assert [(row.event_id, row.outcome) for row in rows(store)] == [("order:1", "skipped")]
    fold(store, seen(order_id=1, checkout_token="c1", **later(1)), chosen=chosen)
    fold(store, seen(order_id=1, checkout_token="c9", **later(2)), chosen=chosen)
    assert [(row.order_id, row.event_id, row.outcome) for row in rows(store)] == [
        ("1", "c1", "pending")
    ]
    assert_cells_are_the_sum_over_rows(store)


def test_an_order_without_the_templates_field_is_a_sale_all_the_same_under_an_id_of_its_own(
    store: SqlStore,
) -> None:
    chosen = settings(event_id="{checkout_token}")
    fold(store, seen(order_id=1, checkout_token=None, source_name="pos"), chosen=chosen)
    (row,) = take(store)
    assert (row.order_id, row.event_id) == ("1", "order:1")
    fold(store, seen(order_id=2, checkout_token=None, test=True), chosen=chosen)
    fold(store, seen(order_id=3, checkout_token="c3"), chosen=chosen)
    with store.snapshot() as snapshot:
        assert to_builtins(account(snapshot, META, NOW_MS))["fallback_event_ids"] == 1
    with store.begin() as transaction:
        settle_sent(transaction, store.dialect, [row], SENT)
    fold(store, seen(order_id=1, checkout_token="c1", **later(1)), chosen=chosen)
    assert ("order:1", "sent") in [(row.event_id, row.outcome) for row in rows(store)]
    assert_cells_are_the_sum_over_rows(store)


def test_a_cart_attribute_can_be_the_event_id(store: SqlStore) -> None:
    chosen = settings(event_id="web-{note_attributes._event_id}")
    shown = [{"name": "_event_id", "value": "e77"}]
    fold(store, seen(order_id=1, note_attributes=shown), seen(order_id=2), chosen=chosen)
    assert [row.event_id for row in rows(store)] == ["web-e77", "order:2"]


@pytest.mark.parametrize("was", ["sent", "skipped"])
def test_a_template_that_is_changed_back_makes_no_second_event(store: SqlStore, was: str) -> None:
    chosen = settings(event_id="{checkout_token}")
    fold(store, seen(test=was == "skipped"), chosen=chosen)
    if was == "sent":
        with store.begin() as transaction:
            settle_sent(
                transaction,
                store.dialect,
                claim(transaction, store.dialect, SHOP, ACCOUNT, "a", NOW_MS, 60_000, 10),
                SENT,
            )
    fold(store, seen(test=was == "skipped", **later(5)), seen(order_id=2))
    assert [(row.event_id, row.outcome) for row in rows(store)] == [
        ("ck1001", was),
        ("2", "pending"),
    ]
    assert_cells_are_the_sum_over_rows(store)


def test_a_row_that_no_event_was_built_for_gives_way_to_the_default_template_too(
    store: SqlStore,
) -> None:
    fold(
        store,
        seen(checkout_token=None, financial_status="pending"),
        chosen=settings(event_id="{checkout_token}"),
    )
    fold(store, seen(**later(5)))
    assert [(row.event_id, row.outcome) for row in rows(store)] == [("1001", "pending")]
    assert_cells_are_the_sum_over_rows(store)


@pytest.mark.parametrize("together", [True, False])
def test_two_orders_of_one_cart_are_two_sales_with_two_event_ids(
    store: SqlStore, together: bool
) -> None:
    chosen = settings(event_id="{cart_token}")
    both = [seen(order_id=1, cart_token="c1"), seen(order_id=2, cart_token="c1")]
    for orders in [both] if together else [both[:1], both[1:]]:
        fold(store, *orders, chosen=chosen)
    fold(store, seen(order_id=2, cart_token="c1", **later(1)), chosen=chosen)
    assert [(row.order_id, row.event_id, row.outcome) for row in rows(store)] == [
        ("1", "c1", "pending"),
        ("2", "order:2", "pending"),
    ]
    assert_cells_are_the_sum_over_rows(store)


def test_a_sale_at_the_counter_may_be_old_but_is_not_retried_for_longer_than_7_days(
    store: SqlStore,
) -> None:
    fold(store, seen(source_name="pos", made=NOW - timedelta(days=20)))
    assert [row.expires_ms for row in rows(store)] == [NOW_MS + 7 * DAY_MS]


def test_a_sender_that_died_before_the_event_was_too_old_leaves_it_unknown_whether_meta_took_it(
    store: SqlStore,
) -> None:
    fold(store, seen())
    take(store)
    with store.begin() as transaction:
        expire(transaction, NOW_MS + 8 * DAY_MS)
    (row,) = rows(store)
    assert row.outcome == "expired"
    assert row.reason.startswith("no answer said whether it was taken")


def test_rows_of_a_dead_sender_go_again_within_48_hours_of_its_lease_however_late_found(
    store: SqlStore,
) -> None:
    fold(store, seen())
    take(store, "dead")
    with store.begin() as transaction:
        assert take_back(transaction, SHOP, ACCOUNT, NOW_MS + 60 * HOUR_MS, REPEAT_MS) == 1
    assert take(store, now_ms=NOW_MS + 60 * HOUR_MS) == []
    with store.begin() as transaction:
        expire(transaction, NOW_MS + 60 * HOUR_MS)
    (row,) = rows(store)
    assert (row.outcome, row.ambiguous_ms) == ("expired", NOW_MS + LEASE_MS)
    assert_cells_are_the_sum_over_rows(store)


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
        }
    ]


DELIVERIES = st.lists(
    st.tuples(
        st.sampled_from([1, 2]),
        st.integers(0, 4),
        st.sampled_from(["paid", "pending", "refunded", "voided"]),
        st.booleans(),
        st.sampled_from(
            ["fold", "fold", "fold", "claim", "sent", "failed", "dead", "retry", "expire"]
        ),
    ),
    max_size=14,
)


@pytest.fixture(scope="module")
def one_store(tmp_path_factory: pytest.TempPathFactory) -> Any:
    opened = SqlStore.open(f"sqlite:///{tmp_path_factory.mktemp('outbox') / 'state.db'}")
    yield opened
    opened.close()


@given(DELIVERIES)
@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_is_delivered_and_answered_an_order_is_taken_by_meta_at_most_once(
    one_store: SqlStore, steps: list[Any]
) -> None:
    with one_store.begin() as transaction:
        for table in ("outbox", "outbox_cell", "meta_click"):
            transaction.execute(f"DELETE FROM {table}")
    taken: Counter[str] = Counter()
    payloads: dict[str, set[bytes]] = {}
    now_ms = NOW_MS
    held: list[OutboxRow] = []
    for order_id, version, status, cancelled, step in steps:
        now_ms += 1_000_000
        if step == "fold":
            change = {
                "financial_status": status,
                "cancelled_at": NOW.isoformat() if cancelled and status == "voided" else None,
            }
            fold(one_store, seen(order_id=order_id, **change, **later(version)))
            continue
        with one_store.begin() as transaction:
            if step == "expire":
                expire(transaction, now_ms)
            elif step == "retry":
                retry(transaction, SHOP, ACCOUNT, now_ms)
            elif step == "claim":
                held = claim(
                    transaction,
                    "sqlite",
                    SHOP,
                    ACCOUNT,
                    str(now_ms),
                    now_ms,
                    500_000 if cancelled else 5_000_000,
                    10,
                )
                for row in held:
                    payloads.setdefault(row.order_id, set()).add(row.payload)
            elif held:
                made = SENT._replace(at_ms=now_ms)
                if step == "sent":
                    if settle(
                        transaction, held[0].claimed_by, [sent(row, made) for row in held]
                    ) == len(held):
                        taken.update(row.order_id for row in held)
                elif step == "failed":
                    settle(
                        transaction,
                        held[0].claimed_by,
                        [failed(row, made, replace(REFUSED, ambiguous=cancelled)) for row in held],
                    )
                else:
                    settle(
                        transaction,
                        held[0].claimed_by,
                        [dead(row, made, REFUSED.reason) for row in held],
                    )
                held = []
    assert all(count == 1 for count in taken.values())
    assert all(len(seen_payloads) == 1 for seen_payloads in payloads.values())
    assert len(rows(one_store)) == len({row.order_id for row in rows(one_store)})
    assert_cells_are_the_sum_over_rows(one_store)


@given(st.permutations([0, 1, 2, 3]), st.lists(st.sampled_from([0, 1, 2, 3]), max_size=4))
@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_deliveries_in_any_order_and_number_end_in_the_same_outcome(
    one_store: SqlStore, order: list[int], again: list[int]
) -> None:
    with one_store.begin() as transaction:
        for table in ("outbox", "outbox_cell", "meta_click"):
            transaction.execute(f"DELETE FROM {table}")
    states = [
        {"financial_status": status, **later(minute)}
        for minute, status in enumerate(("pending", "paid", "paid", "partially_refunded"))
    ]
    for index in [*order, *again]:
        fold(one_store, seen(**states[index]))
    assert [row.outcome for row in rows(one_store)] == ["pending"]
    assert_cells_are_the_sum_over_rows(one_store)


def test_what_one_sender_claims_no_other_gets(store: SqlStore) -> None:
    fold(store, *(seen(order_id=number) for number in range(1, 8)))
    first, second, third = take(store, "a", limit=4), take(store, "b"), take(store, "c")
    assert (len(first), len(second), third) == (4, 3, [])
    assert not {row.order_id for row in first} & {row.order_id for row in second}
    assert_cells_are_the_sum_over_rows(store)


def test_two_senders_claiming_at_the_same_moment_share_the_rows(postgres_url: str) -> None:
    store = SqlStore.open(postgres_url)
    fold(store, *(seen(order_id=number) for number in range(1, 8)))
    with store.begin() as one, store.begin() as other:
        first = claim(one, store.dialect, SHOP, ACCOUNT, "a", NOW_MS, 60_000, 4)
        # The other sender does not wait for the first: it passes over what is just being taken.
        sql = (
            "SELECT order_id FROM outbox WHERE outcome = 'pending' AND due_ms <= :now "
            "ORDER BY due_ms LIMIT 10 FOR UPDATE SKIP LOCKED"
        )
        assert len(other.query(sql, now=NOW_MS)) == 7 - len(first)
    store.close()


def test_nothing_is_claimed_of_a_pixel_that_another_sender_found_throttled_or_paused(
    store: SqlStore,
) -> None:
    fold(store, seen())
    with store.begin() as transaction:
        throttle(transaction, SHOP, ACCOUNT, 5_000, NOW_MS)
    assert take(store, now_ms=NOW_MS + 4_999) == []
    with store.begin() as transaction:
        pause(
            transaction,
            SHOP,
            ACCOUNT,
            replace(REFUSED, kind=ErrorClass.CONFIGURATION),
            NOW_MS,
            probe=False,
        )
    assert take(store, now_ms=NOW_MS + 5_000) == []
    with store.begin() as transaction:
        assert (
            len(
                claim(
                    transaction,
                    store.dialect,
                    SHOP,
                    ACCOUNT,
                    "probe",
                    NOW_MS + 5_000,
                    60_000,
                    1,
                    probe=True,
                )
            )
            == 1
        )
    assert_cells_are_the_sum_over_rows(store)


def test_what_may_have_been_accepted_is_claimed_first_and_no_more_than_asked_for(
    store: SqlStore,
) -> None:
    fold(store, seen(order_id=1))
    take(store, "a")
    fold(store, *(seen(order_id=number) for number in range(2, 6)))
    with store.begin() as transaction:
        take_back(transaction, SHOP, ACCOUNT, NOW_MS + 60_000, REPEAT_MS)
    claimed = take(store, "b", NOW_MS + 60_000, limit=3)
    assert (len(claimed), "1" in {row.order_id for row in claimed}) == (3, True)
    assert_cells_are_the_sum_over_rows(store)


def test_a_lost_lease_makes_a_row_maybe_accepted_and_the_late_answer_changes_nothing(
    store: SqlStore,
) -> None:
    fold(store, seen())
    mine = take(store, "a")
    with store.begin() as transaction:
        assert take_back(transaction, SHOP, ACCOUNT, NOW_MS + 60_000, REPEAT_MS) == 1
    (row,) = rows(store)
    assert (row.outcome, row.expires_ms) == ("maybe_accepted", NOW_MS + 60_000 + REPEAT_MS)
    with pytest.raises(ClaimLost), store.begin() as transaction:
        settle_sent(transaction, store.dialect, mine, SENT)
    with store.begin() as transaction:
        assert settle(transaction, "a", [waiting(mine[0], NOW_MS, None)]) == 0
    assert rows(store) == [row]
    assert [attempt["class"] for attempt in parsed(row.attempts)] == ["lost"]
    assert_cells_are_the_sum_over_rows(store)


def test_nothing_is_sent_past_its_age_and_it_is_visible(store: SqlStore) -> None:
    fold(store, seen())
    after = NOW_MS + 8 * DAY_MS
    assert take(store, now_ms=after) == []
    with store.begin() as transaction:
        expire(transaction, after)
    (row,) = rows(store)
    assert (row.outcome, row.payload, row.due_ms) == ("expired", b"", None)
    assert row.reason
    assert_cells_are_the_sum_over_rows(store)


def test_an_ambiguous_row_expires_after_48_hours(store: SqlStore) -> None:
    fold(store, seen())
    (row,) = take(store)
    with store.begin() as transaction:
        settle(transaction, "a", [failed(row, SENT, UNANSWERED)])
    assert [row.outcome for row in rows(store)] == ["maybe_accepted"]
    assert len(take(store, "b", SENT.at_ms + REPEAT_MS - 1)) == 1
    with store.begin() as transaction:
        expire(transaction, SENT.at_ms + REPEAT_MS + 60_000)
    assert [row.outcome for row in rows(store)] == ["expired"]


def test_a_dead_row_keeps_its_payload_for_a_retry_until_it_is_too_old(store: SqlStore) -> None:
    fold(store, seen(order_id=1), seen(order_id=2))
    with store.begin() as transaction:
        settle(
            transaction,
            "a",
            [
                dead(row, SENT, REFUSED.reason)
                for row in claim(transaction, store.dialect, SHOP, ACCOUNT, "a", NOW_MS, 9, 9)
            ],
        )
    with store.begin() as transaction:
        assert retry(
            transaction,
            SHOP,
            ACCOUNT,
            NOW_MS,
            order_ids=["1", "9"],
            reason="subcode 2804009,",
        ) == Retried(retried=1)
        assert retry(transaction, SHOP, ACCOUNT, NOW_MS, reason="subcode 2804001,") == Retried()
    assert [(row.outcome, bool(row.payload)) for row in rows(store)] == [
        ("pending", True),
        ("dead", True),
    ]
    with store.begin() as transaction:
        expire(transaction, NOW_MS + 8 * DAY_MS)
        assert retry(transaction, SHOP, ACCOUNT, NOW_MS + 8 * DAY_MS) == Retried()
    assert [(row.outcome, bool(row.payload)) for row in rows(store)] == [
        ("expired", False),
        ("dead", False),
    ]
    assert_cells_are_the_sum_over_rows(store)


def test_a_redacted_customers_payloads_go_and_are_not_sent(store: SqlStore) -> None:
    fold(store, seen(order_id=1), seen(order_id=2))
    with store.begin() as transaction:
        assert forget_orders(transaction, SHOP, ["2"]) == 1
    assert [(row.outcome, bool(row.payload)) for row in rows(store)] == [
        ("pending", True),
        ("expired", False),
    ]
    assert_cells_are_the_sum_over_rows(store)


def test_a_claim_takes_no_more_than_it_asked_for_however_the_database_plans_it(
    store: SqlStore,
) -> None:
    fold(store, *(seen(order_id=number) for number in range(1, 9)))
    with store.begin() as transaction:
        if (
            store.dialect == "postgresql"
        ):  # What is left is a nested loop, which may run a subquery of the statement once per row.
            for plan in ("hashagg", "hashjoin", "mergejoin", "material", "sort"):
                transaction.execute(f"SET LOCAL enable_{plan} = off")
        assert len(claim(transaction, store.dialect, SHOP, ACCOUNT, "a", NOW_MS, 60_000, 3)) == 3
    assert_cells_are_the_sum_over_rows(store)


def test_the_answers_have_the_documented_shape(store: SqlStore) -> None:
    fold(
        store, seen(order_id=1), seen(order_id=2, note_attributes=None), seen(order_id=3, test=True)
    )
    with store.begin() as transaction:
        assert register(transaction, SHOP, ACCOUNT) == AccountRow(SHOP, ACCOUNT)
        settle_sent(
            transaction,
            store.dialect,
            claim(transaction, store.dialect, SHOP, ACCOUNT, "a", NOW_MS, 60_000, 1),
            SENT,
        )
    with store.snapshot() as snapshot:
        state = to_builtins(account(snapshot, META, NOW_MS + 60_000))
        orders = [to_builtins(order(snapshot, META, order_id)) for order_id in ("1", "2", "3", "4")]
    assert (state["pixel_id"], state["state"], state["paused"]) == (PIXEL, "sending", None)
    assert {key: n for key, n in state["outcomes"].items() if n} == {
        "pending": 1,
        "sent": 1,
        "skipped": 1,
    }
    assert state["match_keys"]["em"] == 1.0
    assert state["match_keys"]["fbp"] == 0.5
    assert state["latency_ms"]["p50"] == pytest.approx(40, rel=0.1)
    assert state["oldest_unsent_s"] == 120
    by_outcome = {order["outcome"]: order for order in orders if order}
    assert set(by_outcome) == {"sent", "pending", "skipped"}
    assert orders[3] is None
    shown = by_outcome["sent"]
    assert shown["sent_at"] == "2026-11-22T12:00:00.040Z"
    assert shown["received_at"] == "2026-11-22T12:00:00.000Z"
    assert shown["attempts"] == [
        {
            "at": "2026-11-22T12:00:00.040Z",
            "duration_ms": 10,
            "class": "sent",
            "http_status": 200,
            "code": None,
            "subcode": None,
            "fbtrace_id": "T1",
        }
    ]
    assert by_outcome["skipped"]["reason"] == "a test order"


def test_percentiles_are_interpolated_within_a_bucket() -> None:
    assert percentile({}, 0.5) is None
    assert percentile({40: 100}, 0.5) == pytest.approx(2 ** (40.5 / 8), abs=0.1)
    assert percentile({40: 98, 80: 2}, 0.99) == pytest.approx(2 ** (80.5 / 8), abs=0.1)


def test_a_whole_claim_is_settled_in_one_statement(store: SqlStore) -> None:
    fold(store, *(seen(order_id=number) for number in range(1, 301)))
    mine = take(store)
    assert len(mine) == 300
    with store.begin() as transaction:
        settle_sent(transaction, store.dialect, mine, SENT)
    assert_cells_are_the_sum_over_rows(store)
