"""The proofs at the end of a run of chaos find a lost record and a doubled event. That they find a
wrong sum is shown beside the demo's checks, which are the same."""

from typing import Any

import pytest

from simulator.chaos.conservation import in_log, outbox
from simulator.chaos.installation import Shop
from simulator.chaos.traffic import body_id
from simulator.proof.oracle import expected_orders
from stream.record import Entry
from stream.store.sql.store import SqlStore
from tests.support.delivery.capi_orders import PIXEL, SHOP, seen
from tests.support.delivery.sender_bench import Bench, Graph, ok
from tests.support.shops.folded_shop import deliveries, entries


def test_a_record_that_was_acknowledged_and_is_lost_or_changed_is_found() -> None:
    log = entries(deliveries()[:20])
    acknowledged = {body_id(entry.record.id, entry.record.body) for entry in log}
    assert in_log(acknowledged, log) == []
    assert in_log(acknowledged, log[1:]) == ["1 acknowledged deliveries are not in the log"]
    changed = Entry(log[1].record, 0, log[0].offset)
    assert in_log(acknowledged, [changed, *log[1:]]) != []


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_an_event_that_is_doubled_lost_or_unknown_is_found(store: SqlStore) -> None:
    bench = Bench(store)
    bench.fold(seen(order_id=1), seen(order_id=2))
    await bench.sender(Graph(lambda number, events: ok(len(events)))).drain()
    paid = next(each for each in expected_orders(deliveries()).values() if each.ever_paid)
    orders = {str(number): paid._replace(order_id=str(number)) for number in (1, 2)}
    shop = Shop(SHOP, "secret", PIXEL, "token")
    ids = [bench.row(number).event_id for number in ("1", "2")]

    def differences(times: dict[str, int], wanted: dict[str, Any] = orders) -> str:
        events = [(PIXEL, "Purchase", event, count, count, 0) for event, count in times.items()]
        with store.snapshot() as reading:
            return "; ".join(outbox(shop, wanted, {"events": events}, reading)[1])

    right = dict.fromkeys(ids, 1)
    assert differences(right) == ""
    assert "more often than the ledger" in differences({**right, ids[0]: 2})
    assert "Meta has them not" in differences({ids[0]: 1})
    assert "not in the ledger" in differences({**right, "another": 1})
    third = {**orders, "3": paid._replace(order_id="3")}
    assert "paid orders without an event" in differences(right, third)
    assert "in no delivery" in differences(right, {"1": orders["1"]})
    with store.begin() as transaction:
        transaction.execute("UPDATE outbox SET order_id = '1'")
    assert "several events" in differences(right, {"1": orders["1"]})
