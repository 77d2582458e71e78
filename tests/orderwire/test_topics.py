"""Topics that are routed, folded and kept are the same ones."""

from multidict import CIMultiDict

from ingest.shopify.routing import RULES
from ingest.shopify.webhooks import identify
from orderwire.serve.feeds import FEEDS
from stream import record


def test_checkouts_and_carts_are_on_the_topic_of_their_processor() -> None:
    checkouts = {topic for topic, rule in RULES.items() if rule.topic == FEEDS["carts"]}
    assert {topic.partition("/")[0] for topic in checkouts} == {"checkouts", "carts"}


def test_every_topic_that_is_written_or_read_is_one_that_the_log_has() -> None:
    assert {rule.topic for rule in RULES.values()} | set(FEEDS.values()) <= set(record.TOPICS)


def test_headers_of_a_delivery_are_those_that_the_contract_of_records_names() -> None:
    sent = ("Topic", "Triggered-At", "Event-Id", "API-Version", "Test")
    headers = CIMultiDict({f"X-Shopify-{name}": "orders/create" for name in sent})
    kept = {
        name
        for body in (b'{"id": 1}', b"")
        for name in identify("a.myshopify.com", headers, body, 0).record.headers
    }
    assert len(kept) == len(sent) + len(("source", "shop", "parked_reason", "parked_from"))
    assert [name for name in sorted(kept) if f"`{name}`" not in (record.Record.__doc__ or "")] == []
