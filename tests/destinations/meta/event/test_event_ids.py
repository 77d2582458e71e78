"""By which event id an order is known, whatever its template says."""

import pytest
from msgspec import to_builtins

from destinations.delivery.account import SettingsError
from destinations.delivery.answer import account
from destinations.delivery.ledger import (
    claim,
    settle_sent,
)
from stream.store.sql.store import SqlStore
from tests.support.delivery.capi_orders import (
    ACCOUNT,
    NOW_MS,
    SHOP,
    seen,
    settings,
)
from tests.support.delivery.outbox import (
    META,
    SENT,
    assert_cells_are_the_sum_over_rows,
    fold,
    later,
    rows,
    take,
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


@pytest.mark.parametrize("template", ["{pixel.event_id}-{order_id}", "{pixel.id}"])
def test_a_template_names_the_browsers_event_by_itself_or_not_at_all(template: str) -> None:
    with pytest.raises(SettingsError, match=r"event_id names \{pixel"):
        settings(event_id=template)
    assert settings(event_id="web-{pixel.event_id}").event_id == "web-{pixel.event_id}"
