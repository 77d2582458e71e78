"""The life of an outbox row: payload, attempts and row go one after the other; what was sent is
remembered as long as it may not be sent again, and what was not sent may still be."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import asdict

from destinations.delivery.answer import ShownAccount, account, retry
from destinations.delivery.backoff import GROWING
from destinations.delivery.ledger import claim, expire, settle
from destinations.delivery.life import (
    DEFAULT_DAYS,
    FULL_MS,
    LEAST_DAYS,
    OLDEST_MS,
    MarkRow,
    tidy,
)
from destinations.delivery.results import Attempt, dead, failed, parsed, sent
from destinations.delivery.rows import OutboxRow
from destinations.delivery.verdict import ErrorClass, Verdict
from destinations.meta.kind import KIND
from destinations.meta.settings import CapiSettings
from processors.shopify.orders import Order, OrderDeleted
from stream.store.contract import Store
from stream.store.sql.store import SqlStore
from tests.contracts.destination_kit import DAY_MS, assert_cells_are_the_sum_over_rows, rows
from tests.support.delivery.capi_orders import ACCOUNT, NOW, NOW_MS, PIXEL, SHOP, seen, settings
from tests.support.delivery.capi_orders import processor as outbox_processor

UNANSWERED = Attempt(NOW_MS, 5, "ambiguous")
LOST = Verdict(ErrorClass.TRANSIENT, ambiguous=True)
REFUSED = Attempt(NOW_MS, 5, "permanent", 400)
TAKEN = Attempt(NOW_MS + 7, 9, "sent", 200)
UNPAID: dict[str, Any] = {"financial_status": "pending"}
META = ShownAccount(SHOP, ACCOUNT, KIND, PIXEL, 7 * 86_400)


def at_payment(**changes: Any) -> CapiSettings:
    """Whose events have the time of the payment, so that none is too old for having been unpaid."""
    return settings(event_time="payment", **changes)


def fold(store: Store, day: float, *orders: Order, chosen: CapiSettings | None = None) -> None:
    with store.begin() as transaction:
        outbox_processor(chosen or at_payment()).apply(transaction, orders, on(day))


def on(day: float) -> int:
    return NOW_MS + round(day * DAY_MS)


def delivered(day: float, **changes: Any) -> Order:
    """The order as a delivery of that day has it; it was made a minute before the first."""
    at = NOW + timedelta(days=day)
    return seen(on(day), updated_at=at.isoformat(), **changes)


def tidied(store: Store, day: float, days: int = LEAST_DAYS) -> int:
    """How many rows a tick on that day shrinks or deletes."""
    with store.begin() as transaction:
        return tidy(transaction, on(day), days)


def gone_by(store: Store, day: float, days: int = LEAST_DAYS) -> None:
    """As many ticks as a row needs to be shrunk and deleted."""
    tidied(store, day, days)
    tidied(store, day, days)


def settled(store: Store, day: float, of: Callable[[OutboxRow], OutboxRow]) -> None:
    """What is due is claimed and settled as `of` says."""
    now_ms = on(day)
    with store.begin() as transaction:
        mine = claim(transaction, store.dialect, SHOP, ACCOUNT, "a", now_ms, 60_000, 100)
    assert mine
    with store.begin() as transaction:
        settle(transaction, "a", [of(row) for row in mine])


def take(store: Store, day: float) -> None:
    settled(store, day, lambda row: sent(row, Attempt(on(day) + 7, 9, "sent", 200)))


def marks(store: Store) -> list[MarkRow]:
    with store.snapshot() as snapshot:
        columns = ", ".join(MarkRow._fields)
        return [MarkRow(*row) for row in snapshot.query(f"SELECT {columns} FROM outbox_mark")]


def outcomes(store: Store) -> list[tuple[str, str]]:
    return [(row.order_id, row.outcome) for row in rows(store)]


def counted(store: Store) -> dict[str, int]:
    """`outcomes` of the account's answer, those that there are."""
    with store.snapshot() as snapshot:
        found = asdict(account(snapshot, META, NOW_MS).outcomes)
    return {outcome: count for outcome, count in found.items() if count}


def test_a_row_loses_its_payload_then_its_attempts_and_then_goes_and_leaves_a_mark(
    store: SqlStore,
) -> None:
    fold(store, 0, delivered(0))
    (row,) = rows(store)
    assert (row.payload != b"", row.tidy_ms) == (True, None)
    settled(store, 0, lambda row: sent(row._replace(attempts=REFUSED.line()), TAKEN))
    (row,) = rows(store)
    assert (row.payload, len(parsed(row.attempts))) == (b"", 2)
    assert row.tidy_ms == NOW_MS + FULL_MS

    assert tidied(store, 29.99) == 0
    assert tidied(store, 30) == 1
    (row,) = rows(store)
    assert [attempt["class"] for attempt in parsed(row.attempts)] == ["sent"]
    assert row.tidy_ms == NOW_MS + LEAST_DAYS * DAY_MS

    assert tidied(store, 30.99) == 0
    assert tidied(store, 31) == 1
    assert rows(store) == []
    assert [mark.until_ms for mark in marks(store)] == [NOW_MS + OLDEST_MS]
    assert counted(store) == {"sent": 1}
    assert_cells_are_the_sum_over_rows(store)

    tidied(store, 90)
    assert (marks(store), counted(store)) == ([], {"sent": 1})


def test_a_row_that_is_kept_as_long_as_it_may_be_sent_leaves_no_mark(store: SqlStore) -> None:
    fold(store, 0, delivered(0))
    take(store, 0)
    gone_by(store, 89.99, DEFAULT_DAYS)
    assert outcomes(store) == [("1001", "sent")]
    gone_by(store, 90, DEFAULT_DAYS)
    assert (rows(store), marks(store), counted(store)) == ([], [], {"sent": 1})


def test_what_still_waits_is_never_tidied(store: SqlStore) -> None:
    fold(store, 0, delivered(0))
    assert tidied(store, 400) == 0
    assert outcomes(store) == [("1001", "pending")]


def test_a_dead_row_keeps_its_payload_until_it_expires_and_starts_anew_where_it_is_tried_again(
    store: SqlStore,
) -> None:
    fold(store, 0, delivered(0))
    settled(store, 0, lambda row: dead(row, REFUSED, "refused"))
    (row,) = rows(store)
    assert (row.payload != b"", row.tidy_ms) == (True, NOW_MS + FULL_MS)
    with store.begin() as transaction:
        assert retry(transaction, SHOP, ACCOUNT, on(6)).retried == 1
    assert [row.tidy_ms for row in rows(store)] == [None]
    settled(store, 6, lambda row: dead(row, REFUSED, "refused"))
    with store.begin() as transaction:
        expire(transaction, on(7))
    assert [(row.outcome, row.payload) for row in rows(store)] == [("dead", b"")]
    gone_by(store, 31)
    fold(store, 40, delivered(40))
    assert (rows(store), counted(store)) == ([], {"dead": 1})


def test_a_late_delivery_of_what_was_sent_makes_no_event_once_its_row_is_gone(
    store: SqlStore,
) -> None:
    fold(store, 0, delivered(0, source_name="pos"))
    take(store, 0)
    gone_by(store, 31)
    fold(store, 40, delivered(40, source_name="pos"))
    assert (rows(store), counted(store)) == ([], {"sent": 1})


@pytest.mark.parametrize("days", [LEAST_DAYS, DEFAULT_DAYS])
def test_an_order_that_is_paid_after_its_row_is_gone_is_sent(store: SqlStore, days: int) -> None:
    fold(store, 0, delivered(0, **UNPAID))
    gone_by(store, days, days)
    assert rows(store) == []
    fold(store, days + 9, delivered(days + 9))
    assert outcomes(store) == [("1001", "pending")]
    assert_cells_are_the_sum_over_rows(store)


def test_consent_that_comes_after_the_row_is_gone_sends_the_event(store: SqlStore) -> None:
    chosen = settings(consent="marketing")
    sold = {"source_name": "pos"}
    yes = {**sold, "note_attributes": [{"name": "marketing", "value": "yes"}]}
    fold(store, 0, delivered(0, **sold), chosen=chosen)
    assert outcomes(store) == [("1001", "no_consent")]
    gone_by(store, 31)
    fold(store, 40, delivered(40, **yes), chosen=chosen)
    assert outcomes(store) == [("1001", "pending")]


def test_an_order_that_may_have_been_taken_before_it_was_cancelled_is_never_sent_again(
    store: SqlStore,
) -> None:
    fold(store, 0, delivered(0))
    settled(store, 0, lambda row: failed(row, UNANSWERED, LOST, 0.5, GROWING, DAY_MS))
    fold(store, 1, delivered(1, cancelled_at=NOW.isoformat()))
    assert outcomes(store) == [("1001", "skipped")]
    gone_by(store, 31)
    fold(store, 40, delivered(40))
    assert (rows(store), len(marks(store))) == ([], 1)


def test_a_deleted_order_is_not_sent_whatever_comes_after_its_row_is_gone(store: SqlStore) -> None:
    deleted = OrderDeleted(shop=SHOP, order_id="1001")
    with store.begin() as transaction:
        outbox_processor(at_payment()).apply(transaction, [deleted], NOW_MS)
    gone_by(store, 31)
    fold(store, 40, delivered(40))
    assert rows(store) == []


@pytest.mark.parametrize("other", [{}, UNPAID])
def test_the_second_order_of_a_cart_is_sent_once_whichever_row_goes_first(
    store: SqlStore, other: dict[str, Any]
) -> None:
    chosen = at_payment(event_id="{cart_token}")
    cart = {"cart_token": "c1"}
    fold(store, 0, delivered(0, order_id=1, **cart, **other), chosen=chosen)
    fold(store, 0, delivered(0, order_id=2, **cart), chosen=chosen)
    take(store, 0)
    if other:
        fold(store, 20, delivered(20, order_id=1, **cart, **other), chosen=chosen)
    gone_by(store, 31)
    fold(store, 40, delivered(40, order_id=2, **cart), chosen=chosen)
    gone_by(store, 52)
    fold(store, 53, delivered(53, order_id=2, **cart), chosen=chosen)
    assert [row.outcome for row in rows(store) if row.order_id == "2"] == []
    assert counted(store)["sent"] == 2 - bool(other)
