"""What two layers must mean the same by: `ingest`, `processors` and `query` never import each other, so some names and numbers stand twice.

Tied here is what no test of an answer would notice, or would notice far away. Not listed: columns that `query` reads by SQL, for a name
that is wrong fails every test of that answer. None of it is for `stream` to know: all of it is Shopify's, Meta's or the analytics'.
"""

import random
from dataclasses import astuple
from urllib.parse import quote_plus

import pytest
from multidict import CIMultiDict

import query.rfm as query_rfm
from ingest.routing import RULES
from ingest.shopify import identify
from orderwire.feeds import FEEDS
from processors import attribution, budget, cart_cells, cart_idle, cart_state, rfm, rfm_customer
from processors import carts as cart_processors
from processors.capi import payload, pixels, rows
from processors.capi import settings as capi_settings
from processors.rfm_customer import CustomerRow
from query import aggregates, campaigns, cart_figures, cart_histogram, carts, delivery, endpoints, scores, survival
from query.customer_rows import Row
from stream import record
from stream.store import Cells

HOUR_MS, DAY_MS = 3_600_000, 86_400_000

# processors and query


@pytest.mark.parametrize(
    ("folded", "read"),
    [
        (rows.CELLS, delivery.CELLS),
        (rfm_customer.RFM_CELLS, query_rfm.RFM_CELLS),
        (rfm_customer.LAST_DAY_CELLS, query_rfm.LAST_DAY_CELLS),
        (rfm_customer.BTYD_CELLS, query_rfm.BTYD_CELLS),
        (rfm_customer.SPEND_CELLS, query_rfm.SPEND_CELLS),
    ],
    ids=lambda cells: cells.table,
)
def test_tables_of_cells_have_the_same_key_and_measures(folded: Cells, read: Cells) -> None:
    assert astuple(folded) == astuple(read)


def test_what_an_answer_rests_on_is_a_processor_with_the_topic_that_it_reads() -> None:
    feeds = {feed for aggregate in aggregates.AGGREGATES for feed in aggregate.feeds} | {*query_rfm.FEEDS, endpoints.PARKED}
    assert feeds <= set(FEEDS.items())


def test_a_purchase_event_has_one_set_of_outcomes_match_keys_and_latency_buckets() -> None:
    assert delivery.OUTCOMES == rows.OUTCOMES
    assert delivery.MATCH_KEYS == payload.MATCH_KEYS
    assert delivery.BUCKETS_PER_OCTAVE == rows.BUCKETS_PER_OCTAVE
    assert delivery.LIMIT_S == capi_settings.DEFAULT_MAX_AGE_S
    assert delivery.TEST_MODE == pixels.TEST_MODE


def test_customers_are_read_as_they_are_written_and_compared_under_the_cap_of_their_cells() -> None:
    assert set(Row._fields) <= set(CustomerRow._fields)
    assert scores.ORDERS_CAP == rfm_customer.MAX_ORDERS
    assert query_rfm.RfmSettings().window_days == rfm.WINDOW_DAYS


def test_campaign_days_are_read_as_they_are_written() -> None:
    assert campaigns.BudgetCell._fields == (*budget.CELLS.key[1:], *budget.CELLS.measures)
    assert (attribution.DIRECT.channel, attribution.UNATTRIBUTED.channel) == (campaigns.DIRECT, campaigns.UNATTRIBUTED)


@pytest.mark.parametrize("name", ["Black  Friday", " \tSPRING | Straße ", "İstanbul", "plain"])
def test_a_campaigns_name_and_its_links_are_the_same_label(name: str) -> None:
    assert campaigns.label(name) == attribution.attribute(f"/?utm_campaign={quote_plus(name)}").campaign


def test_carts_age_expire_and_mature_alike() -> None:
    assert [edge_h * HOUR_MS for edge_h in survival.EDGES_H] == pytest.approx(list(cart_idle.EDGES_MS))
    assert survival.BUCKET_H * HOUR_MS == cart_idle.BUCKET_MS == cart_histogram.BUCKET_MS
    assert cart_state.EXPIRES_MS == survival.OPEN_BUCKETS * cart_idle.BUCKET_MS == cart_histogram.EXPIRES_MS
    assert carts.KEPT_DAYS * DAY_MS == cart_processors.KEPT_MS
    assert cart_cells.MATURITY_H == carts.MATURITY_H
    assert (cart_cells.ASSISTED, cart_cells.NOT_RECOVERED) == (carts.ASSISTED, cart_figures.NOT_RECOVERED)


def test_bounds_of_value_bins_are_where_the_bins_begin_and_end() -> None:
    for value in [*range(3_000), *(random.Random(1).randrange(10**9) for _ in range(300))]:
        low, high = cart_histogram.bin_bounds(cart_state.value_bin(value))
        assert low <= value <= high
        assert cart_state.value_bin(low) == cart_state.value_bin(high)
        assert cart_state.value_bin(high + 1) > cart_state.value_bin(high)


# ingest and processors


def test_deliveries_with_a_body_of_their_own_are_on_the_topic_whose_processors_know_them() -> None:
    orders = {topic for topic, rule in RULES.items() if rule.topic == FEEDS["carts_orders"]}
    assert orders > cart_processors.NOT_READ
    whole = orders - cart_processors.NOT_READ
    assert all(topic.startswith("orders/") or topic == "refunds/*" for topic in whole)
    checkouts = {topic for topic, rule in RULES.items() if rule.topic == FEEDS["carts"]}
    assert {topic.partition("/")[0] for topic in checkouts} == {"checkouts", "carts"}


def test_every_topic_that_is_written_or_read_is_one_that_the_log_has() -> None:
    assert {rule.topic for rule in RULES.values()} | set(FEEDS.values()) <= set(record.TOPICS)


def test_headers_of_a_delivery_are_those_that_the_contract_of_records_names() -> None:
    sent = ("Topic", "Triggered-At", "Event-Id", "API-Version", "Test")
    headers = CIMultiDict({f"X-Shopify-{name}": "orders/create" for name in sent})
    kept = {name for body in (b'{"id": 1}', b"") for name in identify("a.myshopify.com", headers, body, 0).record.headers}
    assert len(kept) == len(sent) + len(("source", "shop", "parked_reason", "parked_from"))
    assert [name for name in sorted(kept) if f"`{name}`" not in (record.__doc__ or "")] == []
