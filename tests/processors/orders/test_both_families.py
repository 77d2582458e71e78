"""Classic webhooks and Shopify Events together count an order once and send it once, in any order
of arrival."""

import random
from collections.abc import Sequence
from itertools import count, pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processors.orders.row import ORDERS, OrderRow
from processors.orders.state import fold, net
from processors.shopify.orders import Order, RefundCreated, decode_with_facts
from simulator.shop.sale import Sale
from stream.record import Entry
from stream.store.sql.store import SqlStore
from tests.support.delivery import capi_orders
from tests.support.shopify.twin_orders import classic_entry, entry, event_entry, graphql, lives
from tests.support.shops.folding import rfm_orders

PROPERTY = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
NOW_MS = 1_795_300_000_000
shops = count()


def answer(seed: int, shop: str) -> tuple[list[Entry], Sale]:
    """One order's life in both families, in the order in which it happened."""
    found: list[Entry] = []
    refunds = 0
    one = None
    for one in lives(seed):
        found += [classic_entry(one, shop=shop), event_entry(one, shop=shop)]
        for refund in one.refunds[refunds:]:
            found.append(entry("refunds/create", refund, one, shop=shop))
            found.append(entry("Refund", graphql(one).refund_event(refund), one, shop=shop))
        refunds = len(one.refunds)
    assert one is not None
    return found, one


def folded(entries: Sequence[Entry]) -> OrderRow:
    row = None
    for each in entries:
        event = decode_with_facts(each, {})
        assert isinstance(event, Order | RefundCreated)
        row = fold(row, event)
    assert row is not None
    return row


def batches(entries: Sequence[Entry], chance: random.Random) -> list[list[Entry]]:
    shuffled = [*entries, *chance.sample(entries, len(entries) // 2)]
    chance.shuffle(shuffled)
    cuts = sorted({0, len(shuffled), *(chance.randrange(len(shuffled)) for _ in range(3))})
    return [shuffled[a:b] for a, b in pairwise(cuts)]


@given(seed=st.integers(0, 10_000), chance=st.randoms(use_true_random=False))
def test_any_order_of_both_families_ends_in_the_same_row(seed: int, chance: random.Random) -> None:
    entries, one = answer(seed, "both.myshopify.com")
    expected = folded(entries)
    shuffled = [each for batch in batches(entries, chance) for each in batch]
    assert folded(shuffled) == expected
    classic = folded([each for each in entries if "/" in each.record.headers["topic"]])
    assert net(expected) == net(classic)
    told_by_version = {"updated_us", "triggered", "digest"}
    for name in set(OrderRow._fields) - told_by_version:
        assert getattr(expected, name) == getattr(classic, name), name
    if not one.edited and one.cancelled is None:
        assert net(expected) == one.current_total - one.gestures


@PROPERTY
@given(seed=st.integers(0, 10_000), chance=st.randoms(use_true_random=False))
def test_an_order_sent_by_both_families_counts_once_and_is_sent_once(
    store: SqlStore, seed: int, chance: random.Random
) -> None:
    shop = f"both-{next(shops)}.myshopify.com"
    entries, one = answer(seed, shop)
    orders = rfm_orders()
    outbox = capi_orders.processor(capi_orders.settings(shop=shop, trigger="created"))
    sent = 0
    for batch in batches(entries, chance):
        events = [event for each in batch if (event := orders.decode(each)) is not None]
        sales = [event for each in batch if (event := outbox.decode(each)) is not None]
        with store.begin() as transaction:
            orders.apply(transaction, events, NOW_MS)
            outbox.apply(transaction, sales, NOW_MS)
        with store.begin() as transaction:
            sent += transaction.execute(
                "UPDATE outbox SET outcome = 'sent', payload = :empty, due_ms = NULL"
                " WHERE shop = :shop AND outcome = 'pending'",
                shop=shop,
                empty=b"",
            )
    with store.snapshot() as snapshot:
        rows = snapshot.query("SELECT order_id FROM outbox WHERE shop = :shop", shop=shop)
        counted = snapshot.query(
            "SELECT sum(orders) AS orders FROM order_currency_cell WHERE shop = :shop", shop=shop
        )
        waiting = snapshot.query("SELECT gid FROM order_refetch WHERE shop = :shop", shop=shop)
    with store.begin() as transaction:
        (row,) = transaction.load(ORDERS, [(shop, str(one.order_id))]).values()
    assert row == folded(entries)._replace(shop=shop)
    assert [each.order_id for each in rows] == [str(one.order_id)]
    assert sent <= 1
    assert (counted[0].orders or 0) <= 1
    assert waiting == []


def test_a_landing_site_that_events_do_not_have_yet_stays_known() -> None:
    for seed in range(50):
        one = next(lives(seed))
        body = graphql(one).event()
        body["data"]["order"]["customerJourneySummary"] = {"ready": False}
        classic, event = classic_entry(one), entry("Order", body, one)
        both = folded([classic, event])
        assert both == folded([event, classic])
        assert both.landing == folded([classic]).landing


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_without_a_time_zone_events_do_not_move_the_shop_s_clock(
    store: SqlStore, order: tuple[int, int]
) -> None:
    shop = f"clock-{next(shops)}.myshopify.com"
    one = next(one for seed in range(50) for one in lives(seed) if not one.test)
    body = graphql(one).event()
    del body["data"]["shop"]
    entries = (classic_entry(one, shop=shop), entry("Order", body, one, shop=shop))
    orders = rfm_orders()
    for number in order:
        event = orders.decode(entries[number])
        assert event is not None
        with store.begin() as transaction:
            orders.apply(transaction, [event], NOW_MS)
    with store.snapshot() as snapshot:
        rows = snapshot.query("SELECT offset_s FROM order_shop WHERE shop = :shop", shop=shop)
    assert [row.offset_s for row in rows] == [3600]
