"""An order cut short by its delivery is sent with all its lines, where they can be fetched."""

import pytest

from destinations.delivery.outbox import OutboxProcessor
from destinations.delivery.protocol import Context
from destinations.meta.event.events import MetaEvents
from processors.shopify.orders import Order
from stream.record import Entry
from tests.support.delivery import capi_orders
from tests.support.shopify.twin_orders import SHOP, classic_entry, entry, event_entry, graphql, sale

ONE = next(one for one in map(sale, range(100)) if len(one.lines) > 1)


def processor(*fetching: str) -> OutboxProcessor:
    accounts = capi_orders.accounts(capi_orders.settings(shop=SHOP))
    return OutboxProcessor("capi", {SHOP}, MetaEvents(accounts, Context()), {}, fetching=fetching)


def test_where_it_can_be_fetched_the_whole_order_is_waited_for() -> None:
    waiting = processor(SHOP)
    assert waiting.decode(event_entry(ONE, lines=1)) is None
    whole = waiting.decode(event_entry(ONE, origin="refetch"))
    assert isinstance(whole, Order)


@pytest.mark.parametrize(
    "arrived",
    [
        event_entry(ONE),
        classic_entry(ONE),
        entry("Order", graphql(ONE).event() | {"query_errors": [{"message": "denied"}]}, ONE),
    ],
    ids=["events", "classic", "query_errors"],
)
def test_any_other_order_is_sent_as_it_came(arrived: Entry) -> None:
    assert isinstance(processor(SHOP).decode(arrived), Order)


def test_where_it_cannot_be_fetched_it_is_sent_as_it_came() -> None:
    assert isinstance(processor().decode(event_entry(ONE, lines=1)), Order)
