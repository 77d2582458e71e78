"""Whatever is delivered and answered, in whichever order, an order is taken once at most."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from destinations.delivery.answer import retry
from destinations.delivery.ledger import (
    claim,
    expire,
    settle,
)
from destinations.delivery.results import dead, sent
from destinations.delivery.rows import OutboxRow
from stream.store.sql.store import SqlStore
from tests.support.delivery.capi_orders import (
    ACCOUNT,
    NOW,
    NOW_MS,
    SHOP,
    seen,
)
from tests.support.delivery.outbox import (
    REFUSED,
    SENT,
    assert_cells_are_the_sum_over_rows,
    failed,
    fold,
    later,
    rows,
)
from tests.support.servers.migrated_store import write_migrated

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
    opened = SqlStore.open(write_migrated(tmp_path_factory.mktemp("outbox") / "state.db"))
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
        for table in ("outbox", "outbox_cell", "outbox_day_cell", "meta_click"):
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
        for table in ("outbox", "outbox_cell", "outbox_day_cell", "meta_click"):
            transaction.execute(f"DELETE FROM {table}")
    states = [
        {"financial_status": status, **later(minute)}
        for minute, status in enumerate(("pending", "paid", "paid", "partially_refunded"))
    ]
    for index in [*order, *again]:
        fold(one_store, seen(**states[index]))
    assert [row.outcome for row in rows(one_store)] == ["pending"]
    assert_cells_are_the_sum_over_rows(one_store)
