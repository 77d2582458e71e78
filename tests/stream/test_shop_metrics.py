"""Metrics that name a shop: the worst of a gauge, the latest of a counter, at most so many."""

from prometheus_client import CollectorRegistry

from stream.metric_names import NAMED, OTHERS
from stream.metrics import JobMetrics, ProcessorMetrics, ReceiverMetrics
from stream.shop_metrics import HALF_HOUR_S

SHOPS = [f"shop-{number:04}.myshopify.com" for number in range(1_000)]


def by_shop(registry: CollectorRegistry, name: str) -> dict[str, float]:
    return {
        sample.labels["shop"]: sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == name
    }


def test_of_a_counter_the_shops_counted_last_are_named_and_none_goes_back() -> None:
    receiver = ReceiverMetrics(registry := CollectorRegistry())
    for _ in range(3):
        receiver.unsigned(SHOPS[0])
    assert by_shop(registry, "orderwire_unsigned_deliveries_total") == {SHOPS[0]: 3}
    for shop in SHOPS[1:]:
        receiver.unsigned(shop)
    assert by_shop(registry, "orderwire_unsigned_deliveries_total") == dict.fromkeys(
        SHOPS[-NAMED:], 1
    )
    receiver.unsigned(SHOPS[0])
    found = by_shop(registry, "orderwire_unsigned_deliveries_total")
    assert found[SHOPS[0]] == 1, "anew, as after a restart: not three that were reported before"


def test_parked_records_count_for_their_shop_and_their_processor() -> None:
    one = ProcessorMetrics(registry := CollectorRegistry(), "orders")
    two = ProcessorMetrics(registry, "capi", shared=one)
    one.parked({SHOPS[0]: 2})
    two.parked({SHOPS[1]: 3})
    value = registry.get_sample_value
    name = "orderwire_shop_records_parked_total"
    assert value(name, {"processor": "orders", "shop": SHOPS[0]}) == 2
    assert value(name, {"processor": "capi", "shop": SHOPS[1]}) == 3
    assert value("orderwire_records_parked_total", {"processor": "capi"}) == 3


def test_a_shop_whose_records_are_ignored_is_seen_beside_a_large_one_and_for_an_hour() -> None:
    now_s = 0.0
    metrics = ProcessorMetrics(registry := CollectorRegistry(), "orders", monotonic=lambda: now_s)
    metrics.folded({SHOPS[0]: 9_000, SHOPS[1]: 20, SHOPS[2]: 5}, {SHOPS[1]: 19, SHOPS[2]: 5})
    share = "orderwire_shop_ignored_share"
    assert by_shop(registry, share) == {SHOPS[0]: 0.0, SHOPS[1]: 0.95}, "5 records say nothing"
    now_s = HALF_HOUR_S + 1
    metrics.folded({SHOPS[0]: 1}, {})
    assert by_shop(registry, share)[SHOPS[1]] == 0.95
    now_s *= 2
    metrics.folded({SHOPS[0]: 10}, {})
    assert by_shop(registry, share) == {SHOPS[0]: 0.0}


def test_of_the_shops_with_failing_jobs_those_that_failed_most_are_named() -> None:
    metrics = JobMetrics(registry := CollectorRegistry())
    metrics.failing("spend", {shop: number for number, shop in enumerate(SHOPS, 1)})
    found = by_shop(registry, "orderwire_job_failures")
    assert found.pop(OTHERS) == len(SHOPS) - NAMED
    assert found.keys() == set(SHOPS[-NAMED:])
    metrics.failing("spend", {})
    assert by_shop(registry, "orderwire_job_failures") == {}
