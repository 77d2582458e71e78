"""Metrics that name a shop: of each at most `NAMED` series, so that what they take does not grow
with the number of shops."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import nlargest
from typing import Final, NamedTuple, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from stream import metric_names as names
from stream.metric_names import NAMED, OTHERS, MetricName

HALF_HOUR_S: Final = 1_800.0
SHARE_LEAST: Final = 10
"""A share of fewer records than that says nothing."""
_Key = TypeVar("_Key")
_Count = TypeVar("_Count")


def counted_now(counts: dict[_Key, _Count]) -> tuple[tuple[_Key, _Count], ...]:
    """The counts as they are: the event loop may add to them while another thread reads."""
    return tuple(counts.items())


def counters(
    metric: MetricName, counts: Iterable[tuple[tuple[str, ...], int]]
) -> CounterMetricFamily:
    """A counter of these labels and counts."""
    found = CounterMetricFamily(metric.name, metric.text, labels=metric.labels)
    for labels, count in counts:
        found.add_metric(labels, count)
    return found


class AccountLabels(NamedTuple):
    """Names an account: two shops may send to one pixel, and a shop to one host twice."""

    kind: str
    shop: str
    destination: str
    account: str


class ByAccount:
    """A gauge with one series per account, as long as there are at most `NAMED`; else of the
    highest, and one of the others together (`rest` of their values)."""

    def __init__(self, metric: MetricName, rest: Callable[[Iterable[float]], float]) -> None:
        self._metric, self._rest = metric, rest
        self.values: dict[AccountLabels, float] = {}

    def family(self) -> GaugeMetricFamily:
        """As it is now."""
        found = GaugeMetricFamily(self._metric.name, self._metric.text, labels=self._metric.labels)
        values = dict(self.values)
        shown = list(values)
        if len(values) > NAMED:
            shown = nlargest(
                NAMED, (each for each in values if values[each]), key=values.__getitem__
            )
            others = values.keys() - set(shown)
            found.add_metric(
                (OTHERS,) * len(self._metric.labels), self._rest(values[each] for each in others)
            )
        for labels in shown:
            found.add_metric(labels, values[labels])
        return found


class LatestShops:
    """A counter by shop: the `NAMED` series that were counted last. One that falls out begins anew
    when it is counted again, as after a restart."""

    def __init__(self, metric: MetricName) -> None:
        self._metric, self._turn = metric, 0
        self._counts: dict[tuple[str, ...], int] = {}
        self._last: dict[tuple[str, ...], int] = {}

    def count(self, *labels: str, records: int = 1) -> None:
        """So many more with these labels, the last of which is the shop."""
        self._turn += 1
        self._counts[labels] = self._counts.get(labels, 0) + records
        self._last[labels] = self._turn
        if len(self._counts) > NAMED:
            oldest = min(self._last, key=self._last.__getitem__)
            del self._counts[oldest], self._last[oldest]

    def family(self) -> CounterMetricFamily:
        """As it is now."""
        return counters(self._metric, counted_now(self._counts))


@dataclass(slots=True)
class _Share:
    records: int = 0
    ignored: int = 0


class IgnoredShares:
    """The share of each shop's records that was ignored, in this half hour and the one before; of
    the `NAMED` highest."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic, self._began_s = monotonic, monotonic()
        self._now: dict[tuple[str, str], _Share] = {}
        self._before: dict[tuple[str, str], _Share] = {}

    def count(self, processor: str, records: Mapping[str, int], ignored: Mapping[str, int]) -> None:
        """So many records by shop, and how many of them were ignored."""
        if self._monotonic() - self._began_s > HALF_HOUR_S:
            self._before, self._now, self._began_s = self._now, {}, self._monotonic()
        for shop, count in records.items():
            share = self._now.setdefault((processor, shop), _Share())
            share.records += count
            share.ignored += ignored.get(shop, 0)

    def family(self) -> GaugeMetricFamily:
        """As it is now."""
        metric = names.SHOP_IGNORED_SHARE
        found = GaugeMetricFamily(metric.name, metric.text, labels=metric.labels)
        now, before = dict(self._now), dict(self._before)
        shares: dict[tuple[str, str], float] = {}
        for key in {**before, **now}:
            both = (before.get(key, _Share()), now.get(key, _Share()))
            records = sum(each.records for each in both)
            if records >= SHARE_LEAST:
                shares[key] = sum(each.ignored for each in both) / records
        for key in nlargest(NAMED, shares, key=shares.__getitem__):
            found.add_metric(key, shares[key])
        return found


class RecordsByShop(Collector):
    """Of all processors of a process."""

    def __init__(self, registry: CollectorRegistry, monotonic: Callable[[], float]) -> None:
        self.parked, self.ignored = LatestShops(names.SHOP_PARKED), IgnoredShares(monotonic)
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        yield self.parked.family()
        yield self.ignored.family()


class JobFailures(Collector):
    """Of the `NAMED` that failed most often, and of the others together the most."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.by_job: dict[str, Mapping[str, int]] = {}
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        metric = names.JOB_FAILURES
        found = GaugeMetricFamily(metric.name, metric.text, labels=metric.labels)
        failures = {
            (job, shop): count
            for job, of_job in counted_now(self.by_job)
            for shop, count in of_job.items()
        }
        shown = nlargest(NAMED, failures, key=failures.__getitem__)
        for key in shown:
            found.add_metric(key, failures[key])
        others: dict[str, int] = {}
        for job, shop in failures.keys() - set(shown):
            others[job] = max(failures[job, shop], others.get(job, 0))
        for job, count in others.items():
            found.add_metric((job, OTHERS), count)
        yield found
