"""The comparison of classic webhooks with Shopify Events names exactly what one of them lacks."""

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from orderwire.operation.shopify.families import (
    CLASSIC,
    EVENTS,
    GRACE_MS,
    Families,
    Topic,
    compared,
)
from simulator.shop import changes
from simulator.shop.delivery import triggered_at
from simulator.shop.sale import Sale
from stream.log.sqlite.log import SqliteLog
from stream.record import Entry, Record
from tests.support.shopify.twin_orders import SHOP, classic_entry, entry, event_entry, graphql, sale

LATER_MS = 1_800_000_000_000


def changed(one: Sale, minutes: int) -> Sale:
    changes.touch(one, one.created + timedelta(minutes=minutes))
    return one


def families(*entries: Entry, now_ms: int = LATER_MS) -> dict[tuple[str, str], Topic]:
    made = Families(SHOP)
    made.add(entries)
    return {(each.family, each.topic): each for each in made.topics(now_ms)}


def missing(found: dict[tuple[str, str], Topic]) -> dict[tuple[str, str], tuple[str, ...]]:
    return {place: each.examples for place, each in found.items() if each.missing}


def test_orders_that_both_brought_are_missing_nowhere() -> None:
    one = sale(1)
    found = families(classic_entry(one), event_entry(one))
    assert missing(found) == {}
    assert {place: each.states for place, each in found.items()} == {
        (CLASSIC, "orders/updated"): 1,
        (EVENTS, "Order"): 1,
    }


def test_an_order_of_one_family_only_is_named() -> None:
    one, other = sale(1), sale(2)
    found = families(classic_entry(one), event_entry(other))
    assert missing(found) == {
        (CLASSIC, "orders/updated"): (str(one.order_id),),
        (EVENTS, "Order"): (str(other.order_id),),
    }


def test_a_state_that_the_other_family_has_overtaken_is_not_missing() -> None:
    first = classic_entry(sale(1))
    found = families(first, event_entry(changed(sale(1), 5)))
    assert missing(found) == {(EVENTS, "Order"): (str(sale(1).order_id),)}


def test_refunds_and_deletions_are_compared_by_their_id() -> None:
    from random import Random

    one = next(one for one in map(sale, range(100)) if one.units > 1)
    one.financial_status = "paid"
    changes.gesture(Random(1), one, one.created, 900_000_000_000)
    refund = entry("refunds/create", one.refunds[0], one)
    deleted = entry("Order", graphql(one).event(action="delete") | {"data": None}, one)
    assert missing(families(refund, deleted)) == {
        (CLASSIC, "refunds/create"): ("900000000000",),
        (EVENTS, "Order"): (str(one.order_id),),
    }
    both = entry("Refund", graphql(one).refund_event(one.refunds[0]), one)
    assert missing(families(refund, both)) == {}


def test_a_delivery_without_its_order_is_counted_and_has_brought_nothing() -> None:
    one = sale(1)
    denied = entry("Order", graphql(one).event() | {"data": None, "query_errors": [{}]}, one)
    found = families(classic_entry(one), denied)
    assert found[EVENTS, "Order"].without_data == 1
    assert missing(found) == {(CLASSIC, "orders/updated"): (str(one.order_id),)}


def test_what_orderwire_fetched_and_what_is_another_shop_s_does_not_count() -> None:
    one = sale(1)
    assert families(event_entry(one, origin="reconcile"), event_entry(one, shop="b.example")) == {}


def test_what_may_still_be_on_its_way_is_not_missing() -> None:
    one = classic_entry(sale(1))
    assert missing(families(one, now_ms=one.record.time_ms + GRACE_MS)) == {}
    assert missing(families(one, now_ms=one.record.time_ms + GRACE_MS + 1))


async def test_only_records_since_then_are_read_from_the_log(tmp_path: Path) -> None:
    def at(one: Sale, time_ms: int) -> Record:
        body = json.dumps(graphql(one).event()).encode()
        headers = {"shop": SHOP, "topic": "Order", "triggered_at": triggered_at(one.triggered)}
        return Record("orders", "k", f"{one.order_id}", time_ms, headers, body)

    records: Sequence[Record] = [at(sale(seed), LATER_MS + seed * 60_000) for seed in range(3000)]
    log = await SqliteLog.open(tmp_path / "log.db")
    try:
        await log.append(records)
        since_ms = LATER_MS + 2990 * 60_000
        (only,) = await compared(log, SHOP, since_ms, since_ms + 86_400_000)
        assert (only.states, only.missing) == (10, 10)
    finally:
        await log.close()
