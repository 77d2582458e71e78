"""Claims that nobody else gets, leases that end, and rows that expire, are retried or redacted."""

from contextlib import closing
from dataclasses import replace

import pytest

from destinations.delivery.accounts import pause, throttle
from destinations.delivery.answer import retry
from destinations.delivery.ledger import (
    ClaimLost,
    claim,
    expire,
    forget_orders,
    settle,
    settle_sent,
    take_back,
)
from destinations.delivery.results import dead, parsed
from destinations.delivery.schema import Retried
from destinations.delivery.verdict import ErrorClass
from destinations.meta.destination import REPEAT_MS
from destinations.meta.event.click import DAY_MS
from stream.store.sql.store import SqlStore
from tests.support.delivery.capi_orders import (
    ACCOUNT,
    NOW_MS,
    SHOP,
    seen,
)
from tests.support.delivery.outbox import (
    HOUR_MS,
    LEASE_MS,
    REFUSED,
    SENT,
    UNANSWERED,
    assert_cells_are_the_sum_over_rows,
    failed,
    fold,
    rows,
    take,
    waiting,
)


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


def test_settling_a_claim_reads_its_own_rows_and_not_all_of_the_account(
    own_postgres_url: str,
) -> None:
    with closing(SqlStore.open(own_postgres_url)) as store:
        for number in range(25):
            fold(store, *(seen(order_id=100 * number + each) for each in range(1, 6)))
            mine = take(store)
            with store.begin() as transaction:
                settle_sent(transaction, store.dialect, mine, SENT)
        with store.begin() as transaction:
            transaction.query("SELECT pg_stat_force_next_flush()")
        with store.snapshot() as snapshot:
            ((read,),) = snapshot.query(
                "SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'outbox_pkey'"
            )
    assert read < 4 * 25 * 5


def test_what_one_sender_claims_no_other_gets(store: SqlStore) -> None:
    fold(store, *(seen(order_id=number) for number in range(1, 8)))
    first, second, third = take(store, "a", limit=4), take(store, "b"), take(store, "c")
    assert (len(first), len(second), third) == (4, 3, [])
    assert not {row.order_id for row in first} & {row.order_id for row in second}
    assert_cells_are_the_sum_over_rows(store)


def test_two_senders_claiming_at_the_same_moment_share_the_rows(
    migrated_postgres_url: str,
) -> None:
    store = SqlStore.open(migrated_postgres_url)
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


def test_a_whole_claim_is_settled_in_one_statement(store: SqlStore) -> None:
    fold(store, *(seen(order_id=number) for number in range(1, 301)))
    mine = take(store)
    assert len(mine) == 300
    with store.begin() as transaction:
        settle_sent(transaction, store.dialect, mine, SENT)
    assert_cells_are_the_sum_over_rows(store)
