"""Metrics: names are those of the table, labels stay bounded, texts of several roles become one."""

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.parser import text_string_to_metric_families

from stream import metric_names
from stream.exposition import labelled, merged
from stream.metric_names import METRICS, NAMED, OTHERS, MetricName
from stream.metrics import (
    ApiMetrics,
    DeliveryMetrics,
    JobMetrics,
    ProcessorMetrics,
    ReceiverMetrics,
)
from stream.shop_metrics import AccountLabels

DELIVERED = [f"{kind}/{what}" for kind in ("orders", "checkouts") for what in "abcdef"]


def metrics_of_a_thousand_shops() -> CollectorRegistry:
    registry = CollectorRegistry()
    processor, job = ProcessorMetrics(registry, "orders"), JobMetrics(registry)
    ApiMetrics(registry)
    receiver, delivery = ReceiverMetrics(registry), DeliveryMetrics(registry)
    shops = [f"shop-{number:04}.myshopify.com" for number in range(1_000)]
    last_ms = {(shop, topic): 1_000 * n for n, shop in enumerate(shops, 1) for topic in DELIVERED}
    receiver.watch_last_deliveries(lambda: last_ms)
    job.failing("spend", dict.fromkeys(shops, 1))
    processor.folded(dict.fromkeys(shops, 10), dict.fromkeys(shops, 10))
    processor.parked(dict.fromkeys(shops, 1))
    for number, shop in enumerate(shops):
        receiver.unsigned(shop)
        account = AccountLabels("meta", shop, "meta", "the same pixel")
        delivery.paused(account, number % 10 == 0)
        delivery.failing(account, False)
        delivery.waiting(account, number, number / 2)
    return registry


def test_every_metric_is_one_of_the_table_with_its_labels() -> None:
    known = {each.name: each for each in METRICS}
    registry = metrics_of_a_thousand_shops()
    found = {family.name: family for family in registry.collect()}
    assert found.keys() == known.keys() - NOT_HERE
    for name, family in found.items():
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                assert sample.labels.keys() - {"le"} == set(known[name].labels), name


NOT_HERE = {
    "orderwire_ready",
    "orderwire_clock_steps",
    "orderwire_oldest_unread_seconds",
    "orderwire_stopped",
    "orderwire_role_restarts",
    "orderwire_shop_stopped",
    "orderwire_store_writable",
    "orderwire_settings_refused",
    "orderwire_disk_free_bytes",
    "orderwire_disk_short",
    "orderwire_spool_records",
    "orderwire_spool_set_aside_records",
}
"""Metrics that other parts register."""


def test_a_name_stands_once_in_the_table() -> None:
    listed = [value for value in vars(metric_names).values() if isinstance(value, MetricName)]
    assert len({each.name for each in listed}) == len(listed) == len(METRICS)
    assert all(each.name.startswith("orderwire_") and each.text for each in listed)


def test_two_shops_on_one_pixel_have_a_series_each() -> None:
    metrics = DeliveryMetrics(registry := CollectorRegistry())
    metrics.paused(one := AccountLabels("meta", "one.myshopify.com", "meta", "123"), True)
    metrics.paused(two := AccountLabels("meta", "two.myshopify.com", "meta", "123"), False)
    value = registry.get_sample_value
    assert value("orderwire_delivery_paused", one._asdict()) == 1
    assert value("orderwire_delivery_paused", two._asdict()) == 0


def test_of_a_thousand_shops_the_worst_are_named_and_the_rest_is_one() -> None:
    families = {family.name: family.samples for family in metrics_of_a_thousand_shops().collect()}
    paused = families["orderwire_delivery_paused"]
    assert len(paused) == NAMED + 1
    assert sum(sample.value for sample in paused if sample.labels["shop"] != OTHERS) == 100
    waiting = {
        sample.labels["shop"]: sample.value
        for sample in families["orderwire_delivery_pending_events"]
    }
    assert waiting["shop-0999.myshopify.com"] == 999
    assert sum(waiting.values()) == sum(range(1_000))
    assert max(len(samples) for samples in families.values()) <= NAMED + len(DELIVERED)
    last = families["orderwire_last_delivery_timestamp_seconds"]
    assert last[0].labels["shop"] == "shop-0000.myshopify.com", "silent for longest"


def role_metrics(records: int) -> CollectorRegistry:
    registry = CollectorRegistry()
    counter = Counter("orderwire_records", "Records folded", ("processor",), registry=registry)
    counter.labels('a "quoted" {name}').inc(records)
    Counter("orderwire_bare", "Without labels", registry=registry).inc(records)
    return registry


def test_texts_of_several_roles_become_one_with_each_family_once() -> None:
    texts = [labelled(role_metrics(n), "process", f"here:{n}") for n in (2, 3)]
    text = merged(texts).decode()
    assert text.count("# TYPE orderwire_records_total counter") == 1
    samples = [
        sample
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name in ("orderwire_records_total", "orderwire_bare_total")
    ]
    assert [(sample.labels["instance"], sample.value) for sample in samples] == [
        ("here:2", 2),
        ("here:3", 3),
    ] * 2
    assert samples[0].labels["processor"] == 'a "quoted" {name}'
    assert samples[0].labels["role"] == "process"
