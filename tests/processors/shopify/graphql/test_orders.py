"""An order of the Admin API or Shopify Events decodes to the same facts as its classic webhook."""

import contextlib
import json
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from destinations.meta.event.amounts import SIDES, CurrencySide
from destinations.meta.event.detail import detail, fields_at
from destinations.webhook.detail import detail as webhook_detail
from processors.orders.state import fold, net
from processors.shopify.graphql.orders import order as classic
from processors.shopify.landing import parameters, reduced
from processors.shopify.orders import (
    Incomplete,
    Order,
    OrderDeleted,
    OrderEvent,
    RefundCreated,
    decode_with_facts,
)
from processors.shopify.tolerance import Rejected
from simulator.shop.delivery import triggered_at
from stream.record import Entry
from tests.support.delivery.purchase import amounts
from tests.support.shopify import twin_orders
from tests.support.shopify.twin_orders import (
    SHOP,
    classic_entry,
    entry,
    event_entry,
    graphql,
    lives,
    sale,
)

seeds = st.integers(0, 100_000)
currencies = st.sampled_from(("USD", "JPY", "KWD"))
NOT_COMPARED = {"version", "body", "raw", "landing_site"}


def decoded(answer: Entry, zone: ZoneInfo | None = None) -> OrderEvent | None:
    return decode_with_facts(answer, {} if zone is None else {SHOP: zone})


def order(answer: Entry, zone: ZoneInfo | None = None) -> Order:
    found = decoded(answer, zone)
    assert isinstance(found, Order)
    return found


def event(one: Any, **changed: Any) -> Entry:
    """An Events delivery of `one` with some fields of its order changed."""
    body = graphql(one).event()
    body["data"]["order"] |= changed
    return entry("Order", body, one)


def facts(found: Order) -> dict[str, Any]:
    return {
        name: value
        for name, value in msgspec.structs.asdict(found).items()
        if name not in NOT_COMPARED
    }


@given(seed=seeds, currency=currencies)
def test_both_shapes_of_an_order_decode_to_the_same_facts(seed: int, currency: str) -> None:
    for one in lives(seed, currency):
        webhook, events = order(classic_entry(one)), order(event_entry(one))
        assert facts(events) == facts(webhook)
        assert events.version[:2] == webhook.version[:2]
        assert events.version.digest[0] == webhook.version.digest[0]
        assert reduced(events.landing_site) == reduced(webhook.landing_site)
        assert parameters(events.landing_site or "") == parameters(webhook.landing_site or "")


@given(seed=seeds, currency=currencies, side=st.sampled_from(SIDES))
def test_destinations_read_the_same_of_both_shapes(
    seed: int, currency: str, side: CurrencySide
) -> None:
    for one in lives(seed, currency):
        webhook, events = order(classic_entry(one)), order(event_entry(one))
        expected, found = detail(webhook.raw, side), detail(events.raw, side)
        found_rest, expected_rest = (
            msgspec.structs.replace(each, user_agent=None, landing_site=None, referring_site=None)
            for each in (found, expected)
        )
        assert found_rest == expected_rest
        assert amounts(events.raw, side) == amounts(webhook.raw, side)
        if (expected.landing_site or "").startswith("/"):
            assert (found.landing_site or "").endswith(expected.landing_site or "?")
            assert found.referring_site == expected.referring_site
        assert webhook_detail(events.raw, currency) == webhook_detail(webhook.raw, currency)


def test_graphql_has_no_user_agent_and_nothing_is_put_in_its_place() -> None:
    one = next(one for one in map(sale, range(100)) if one.source_name == "web")
    assert detail(order(classic_entry(one)).raw).user_agent is not None
    assert detail(order(event_entry(one)).raw).user_agent is None


@given(seed=seeds)
def test_settings_that_name_classic_fields_find_them_in_both_shapes(seed: int) -> None:
    one = sale(seed)
    webhook, events = order(classic_entry(one)), order(event_entry(one))
    paths = ("name", "order_number", "checkout_token", "customer.state", "total_price")
    assert fields_at(events.body, paths) == fields_at(webhook.body, paths)


def test_a_consent_of_the_customer_is_found_where_webhooks_had_it() -> None:
    one = next(one for one in map(sale, range(100)) if one.person and not one.guest)
    body = order(event_entry(one)).body
    (consent,) = fields_at(body, ["customer.email_marketing_consent"])
    assert consent["state"] == "not_subscribed"


@given(seed=seeds)
def test_refunds_that_show_only_their_totals_leave_the_same_money(seed: int) -> None:
    """As Events and bulk files list them."""
    for one in lives(seed):
        answer = graphql(one).event()
        answer["data"]["order"]["refunds"] = [
            {name: each[name] for name in ("id", "createdAt", "processedAt", "totalRefundedSet")}
            for each in answer["data"]["order"]["refunds"]
        ]
        thin, whole = (
            fold(None, order(entry("Order", answer, one))),
            fold(None, order(classic_entry(one))),
        )
        if not one.edited:
            assert net(thin) == net(whole)
        told_later = thin
        for refund in one.refunds:
            found = decoded(entry("Refund", graphql(one).refund_event(refund), one))
            assert isinstance(found, RefundCreated)
            told_later = fold(told_later, found)
        assert net(told_later) == net(whole)


@given(seed=seeds)
def test_both_shapes_of_a_refund_decode_to_the_same(seed: int) -> None:
    for one in lives(seed):
        for refund in one.refunds:
            events = decoded(entry("Refund", graphql(one).refund_event(refund), one))
            assert events == decoded(entry("refunds/create", refund, one))


def test_times_in_utc_become_the_shop_s_by_the_zone_that_the_delivery_or_a_setting_names() -> None:
    one = sale(1)
    answer = graphql(one).event()
    expected = order(classic_entry(one))
    assert order(entry("Order", answer, one)).day == expected.day
    del answer["data"]["shop"]
    unknown = order(entry("Order", answer, one))
    assert not unknown.offset_known
    assert unknown.processed_at == expected.processed_at
    by_setting = order(entry("Order", answer, one), ZoneInfo(twin_orders.ZONE))
    assert by_setting.offset_known
    assert by_setting.day == expected.day


@pytest.mark.parametrize(
    ("status", "classic_status"),
    [("EXPIRED", "expired"), ("PARTIALLY_PAID", "partially_paid"), ("PAID", "paid"), (None, "")],
)
def test_financial_states_are_small_letters_and_expired_is_one_of_its_own(
    status: str | None, classic_status: str
) -> None:
    assert order(event(sale(1), displayFinancialStatus=status)).financial_status == classic_status


@pytest.mark.parametrize(
    ("status", "classic_status"),
    [
        ("PARTIALLY_FULFILLED", "partial"),
        ("FULFILLED", "fulfilled"),
        ("UNFULFILLED", None),
        ("FULFILLMENT_NOT_REQUIRED", None),
    ],
)
def test_fulfilment_states_are_the_classic_words(status: str, classic_status: str | None) -> None:
    assert (
        classic({"displayFulfillmentStatus": status}, None)["fulfillment_status"] == classic_status
    )


def test_the_visit_that_ordered_comes_before_the_first_one_and_neither_is_there_at_first() -> None:
    first, last = (
        {"landingPage": f"https://s.example/{name}", "referrerUrl": f"https://{name}.example/"}
        for name in ("first", "last")
    )
    journey: dict[str, Any] = {"ready": True, "firstVisit": first, "lastVisit": last}
    assert order(event(sale(1), customerJourneySummary=journey)).landing_site == last["landingPage"]
    journey["lastVisit"] = {"landingPage": None, "referrerUrl": None}
    assert (
        order(event(sale(1), customerJourneySummary=journey)).landing_site == first["landingPage"]
    )
    journey = {"ready": False, "firstVisit": None, "lastVisit": None}
    assert order(event(sale(1), customerJourneySummary=journey)).landing_site is None
    assert order(event(sale(1), customerJourneySummary=None)).landing_site is None


@pytest.mark.parametrize("form", ["nodes", "edges", "list"])
def test_lines_are_read_from_every_form_of_a_list(form: str) -> None:
    nodes = graphql(sale(1)).order()["lineItems"]["nodes"]
    lines = {
        "nodes": {"nodes": nodes},
        "edges": {"edges": [{"node": n} for n in nodes]},
        "list": nodes,
    }
    assert order(event(sale(1), lineItems=lines[form])).detail == order(event_entry(sale(1))).detail


def test_a_deletion_names_its_order_in_the_variables() -> None:
    body = {
        "topic": "Order",
        "action": "delete",
        "query_variables": {"orderId": "gid://shopify/Order/5"},
    }
    assert decoded(entry("Order", body, sale(1))) == OrderDeleted(shop=SHOP, order_id="5")


@pytest.mark.parametrize(
    ("change", "lacking"),
    [
        ({"data": None}, "no_data"),
        ({"data": {"order": None}}, "no_data"),
        ({"data": None, "query_errors": [{"message": "denied"}]}, "query_errors"),
        ({"data": {"order": {"id": "gid://shopify/Order/1"}}}, "no_data"),
        ({"data": {"order": {}}, "query_errors": "denied"}, "query_errors"),
    ],
)
def test_what_comes_without_its_order_is_to_be_fetched_and_never_refused(
    change: dict[str, Any], lacking: str
) -> None:
    one = sale(1)
    found = decoded(entry("Order", graphql(one).event() | change, one))
    assert isinstance(found, Incomplete)
    assert found.lacking[:2] == (f"gid://shopify/Order/{one.order_id}", lacking)


def test_an_order_with_some_fields_denied_counts_and_any_other_state_of_that_second_is_better() -> (
    None
):
    one = next(one for one in map(sale, range(100)) if one.person and not one.guest)
    body = graphql(one).event()
    body["data"]["order"]["customer"] = None
    body["query_errors"] = [{"message": "Access denied for customer field"}]
    partial, whole = order(entry("Order", body, one)), order(event_entry(one))
    assert partial.lacking is not None
    assert partial.lacking.why == "query_errors"
    assert partial.lacking.triggered == whole.version.triggered
    assert partial.customer_id is None
    assert partial.version < whole.version
    assert fold(fold(None, partial), whole) == fold(fold(None, whole), partial)


def test_an_order_whose_lines_were_cut_short_counts_and_says_so() -> None:
    one = next(one for one in map(sale, range(100)) if len(one.lines) > 1)
    found = order(event_entry(one, lines=1))
    assert found.lacking is not None
    assert found.lacking.why == "cut_short"
    assert found.total == one.total
    assert order(event_entry(one)).lacking is None


@pytest.mark.parametrize("origin", ["backfill", "reconcile", "refetch"])
def test_what_orderwire_fetched_itself_is_not_fetched_again(origin: str) -> None:
    one = next(one for one in map(sale, range(100)) if len(one.lines) > 1)
    assert order(event_entry(one, lines=1, origin=origin)).lacking is None
    body = graphql(one).event() | {"data": {"order": {"id": "gid://shopify/Order/1"}}}
    with pytest.raises(Rejected, match="missing_fields"):
        decoded(entry("Order", body, one, origin=origin))


def test_an_event_that_names_nothing_is_parked() -> None:
    body: dict[str, Any] = {"topic": "Order", "action": "update", "query_variables": {}}
    with pytest.raises(Rejected, match="no_order_id"):
        decoded(entry("Order", body, sale(1)))


def test_an_event_of_another_topic_is_no_order() -> None:
    body = {"topic": "Customer", "action": "update", "query_variables": {"customerId": "1"}}
    assert decoded(entry("Order", body, sale(1))) is None


@given(
    change=st.dictionaries(
        st.sampled_from(
            ("topic", "action", "query_variables", "data", "query_errors", "fields_changed")
        ),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(st.sampled_from(("order", "shop", "id", "orderId", "x")), inner)
            ),
            max_leaves=8,
        ),
    )
)
def test_nothing_but_rejected_comes_of_an_odd_event(change: dict[str, Any]) -> None:
    body = graphql(sale(1)).event() | change
    with contextlib.suppress(Rejected):
        decoded(entry("Order", json.loads(json.dumps(body)), sale(1)))


@given(
    name=st.sampled_from(sorted(graphql(sale(3)).order())),
    value=st.sampled_from((None, "", [], {}, 5, "x", [None], True)),
)
def test_nothing_but_rejected_comes_of_an_odd_field(name: str, value: Any) -> None:
    with contextlib.suppress(Rejected):
        decoded(event(sale(3), **{name: value}))


def test_the_trigger_s_time_orders_two_states_of_one_second() -> None:
    one = sale(1)
    assert order(event_entry(one)).version.triggered == triggered_at(one.triggered)
