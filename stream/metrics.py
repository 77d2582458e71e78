"""Counts what each role does, for Prometheus; `stream/metric_names.py` has names and labels. One
class per role."""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from heapq import nsmallest
from itertools import accumulate
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import (
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from stream import metric_names as names
from stream.metric_names import NAMED, OTHERS, MetricName
from stream.shop_metrics import (
    AccountLabels,
    ByAccount,
    JobFailures,
    LatestShops,
    RecordsByShop,
    counted_now,
    counters,
)


def _counter(registry: CollectorRegistry, metric: MetricName) -> Counter:
    return Counter(metric.name, metric.text, metric.labels, registry=registry)


def _gauge(registry: CollectorRegistry, metric: MetricName) -> Gauge:
    return Gauge(metric.name, metric.text, metric.labels, registry=registry)


def _histogram(registry: CollectorRegistry, metric: MetricName) -> Histogram:
    return Histogram(
        metric.name, metric.text, metric.labels, registry=registry, buckets=metric.buckets
    )


class _Tally:
    """A histogram counted by bisection: a tenth of what `Histogram.observe` costs."""

    def __init__(self, metric: MetricName) -> None:
        self._metric, self._sum = metric, 0.0
        self._counts = [0] * (len(metric.buckets) + 1)

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._metric.buckets, value)] += 1
        self._sum += value

    def family(self) -> HistogramMetricFamily:
        return HistogramMetricFamily(
            self._metric.name, self._metric.text, self._buckets(), self._sum
        )

    def add_to(self, family: HistogramMetricFamily, *labels: str) -> None:
        """Add it to a family as the series of these labels."""
        family.add_metric(labels, self._buckets(), self._sum)

    def _buckets(self) -> list[tuple[str, float]]:
        edges = [*map(str, map(float, self._metric.buckets)), "+Inf"]
        return list(zip(edges, accumulate(self._counts), strict=True))


class ReceiverMetrics(Collector):
    """Deliveries received and answered.

    Counted in plain numbers and collected when the metrics are read: the library's own counters
    would make a delivery 5 % more expensive.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._deliveries: dict[tuple[str, str, str], int] = {}
        self._unsigned = LatestShops(names.UNSIGNED)
        self._signatures: dict[tuple[str, int], int] = {}
        self._ack_s, self._body_bytes = _Tally(names.ACK_SECONDS), _Tally(names.BODY_BYTES)
        self._in_flight_bytes: Callable[[], int] = lambda: 0
        self._connections: Callable[[], int] = lambda: 0
        self._closed: dict[str, int] = {}
        self._last_ms: Callable[[], Mapping[tuple[str, str], int]] = dict
        registry.register(self)

    def answered(self, sender: str, topic: str, outcome: str) -> None:
        """One delivery was answered; `topic` is empty if no signature was valid, since its header
        could say anything."""
        labels = (sender, topic, outcome)
        self._deliveries[labels] = self._deliveries.get(labels, 0) + 1

    def unsigned(self, shop: str) -> None:
        """A delivery named this shop, which is configured, and had no good signature."""
        self._unsigned.count(shop)

    def signed(self, sender: str, secret_index: int, body_bytes: int) -> None:
        """One signature was valid."""
        labels = (sender, secret_index)
        self._signatures[labels] = self._signatures.get(labels, 0) + 1
        self._body_bytes.observe(body_bytes)

    def acked(self, seconds: float) -> None:
        """The log was asked and answered after this long."""
        self._ack_s.observe(seconds)

    def watch_in_flight(self, in_flight_bytes: Callable[[], int]) -> None:
        """Call `in_flight_bytes` for the bytes in flight whenever the metrics are read."""
        self._in_flight_bytes = in_flight_bytes

    def watch_connections(self, connections: Callable[[], int]) -> None:
        """Ask `connections` for the open connections, whenever the metrics are read."""
        self._connections = connections

    def watch_last_deliveries(self, last_ms: Callable[[], Mapping[tuple[str, str], int]]) -> None:
        """Ask `last_ms` when each (shop, topic) was last delivered, Unix ms, at each reading."""
        self._last_ms = last_ms

    def connection_closed(self, reason: str) -> None:
        """One connection was closed by us before its sender had an answer."""
        self._closed[reason] = self._closed.get(reason, 0) + 1

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        deliveries = counted_now(self._deliveries)
        yield counters(names.DELIVERIES, deliveries)
        yield self._unsigned.family()
        yield self._last_deliveries()
        signatures = [
            ((sender, str(number)), count)
            for (sender, number), count in counted_now(self._signatures)
        ]
        yield counters(names.SIGNATURES, signatures)
        yield self._ack_s.family()
        yield self._body_bytes.family()
        yield _single(names.IN_FLIGHT_BYTES, self._in_flight_bytes())
        yield _single(names.CONNECTIONS, self._connections())
        closed = [((reason,), count) for reason, count in counted_now(self._closed)]
        yield counters(names.CONNECTIONS_CLOSED, closed)

    def _last_deliveries(self) -> GaugeMetricFamily:
        """Of those silent for longest by shop, of the others the newest by topic."""
        metric = names.LAST_DELIVERY
        found = GaugeMetricFamily(metric.name, metric.text, labels=metric.labels)
        last_ms = dict(self._last_ms())
        shown = set(nsmallest(NAMED, last_ms, key=last_ms.__getitem__))
        others: dict[str, int] = {}
        for (shop, topic), at_ms in last_ms.items():
            if (shop, topic) in shown:
                found.add_metric((shop, topic), at_ms / 1000)
            else:
                others[topic] = max(at_ms, others.get(topic, 0))
        for topic, at_ms in others.items():
            found.add_metric((OTHERS, topic), at_ms / 1000)
        return found


def _single(metric: MetricName, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(metric.name, metric.text, value)


class ProcessorMetrics:
    """What one processor has folded."""

    def __init__(
        self,
        registry: CollectorRegistry,
        processor: str,
        *,
        shared: "ProcessorMetrics | None" = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`shared` is the metrics of another processor of the same process: the metric families
        exist once."""
        families = _processor_families(registry, monotonic) if shared is None else shared._families
        self._families: _ProcessorFamilies = families
        self._processor = processor
        self._records = families.records.labels(processor)
        self._ignored = families.ignored.labels(processor)
        self._parked = families.parked.labels(processor)
        self.fenced = families.fenced.labels(processor)
        self.retries = families.retries.labels(processor)
        self.batch_s = families.batch_s.labels(processor)
        self.event_time_s = families.event_time_s.labels(processor)

    def folded(self, records: Mapping[str, int], ignored: Mapping[str, int]) -> None:
        """A batch's records by shop, and those of them that the processor has nothing to do
        with."""
        self._records.inc(sum(records.values()))
        self._ignored.inc(sum(ignored.values()))
        self._families.by_shop.ignored.count(self._processor, records, ignored)

    def parked(self, records: Mapping[str, int]) -> None:
        """Records by shop that could not be understood."""
        for shop, count in records.items():
            self._parked.inc(count)
            self._families.by_shop.parked.count(self._processor, shop, records=count)


class _ProcessorFamilies(NamedTuple):
    records: Counter
    ignored: Counter
    parked: Counter
    fenced: Counter
    retries: Counter
    batch_s: Histogram
    event_time_s: Gauge
    by_shop: RecordsByShop


def _processor_families(
    registry: CollectorRegistry, monotonic: Callable[[], float]
) -> _ProcessorFamilies:
    return _ProcessorFamilies(
        _counter(registry, names.RECORDS),
        _counter(registry, names.RECORDS_IGNORED),
        _counter(registry, names.RECORDS_PARKED),
        _counter(registry, names.FENCED),
        _counter(registry, names.STORE_RETRIES),
        _histogram(registry, names.BATCH_SECONDS),
        _gauge(registry, names.EVENT_TIME),
        RecordsByShop(registry, monotonic),
    )


class DeliveryMetrics(Collector):
    """What the sender has sent, by kind of destination."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = _counter(registry, names.DELIVERY_REQUESTS)
        self._events = _counter(registry, names.DELIVERY_EVENTS)
        self._request_seconds = _histogram(registry, names.DELIVERY_REQUEST_SECONDS)
        self._delivery_seconds: dict[str, _Tally] = {}
        self._paused = ByAccount(names.DELIVERY_PAUSED, _highest)
        self._failing = ByAccount(names.DELIVERY_FAILING, _highest)
        self._pending = ByAccount(names.DELIVERY_PENDING, sum)
        self._oldest = ByAccount(names.DELIVERY_OLDEST, _highest)
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        for gauge in (self._paused, self._failing, self._pending, self._oldest):
            yield gauge.family()
        metric = names.DELIVERY_SECONDS
        seconds = HistogramMetricFamily(metric.name, metric.text, labels=metric.labels)
        for kind, tally in dict(self._delivery_seconds).items():
            tally.add_to(seconds, kind)
        yield seconds

    def requested(self, kind: str, outcome: str, events: int, seconds: float) -> None:
        """One request ended; `outcome` is its error class, or `each` if its events differ."""
        self._requests.labels(kind, outcome).inc()
        self._events.labels(kind, outcome).inc(events)
        self._request_seconds.labels(kind).observe(seconds)

    def delivered(self, kind: str, seconds: Iterable[float]) -> None:
        """These events were accepted, each so many seconds after its webhook arrived."""
        tally = self._delivery_seconds.setdefault(kind, _Tally(names.DELIVERY_SECONDS))
        for latency in seconds:
            tally.observe(latency)

    def paused(self, account: AccountLabels, paused: bool) -> None:
        """Whether an account is paused."""
        self._paused.values[account] = paused

    def failing(self, account: AccountLabels, failing: bool) -> None:
        """Whether an account's requests fail."""
        self._failing.values[account] = failing

    def waiting(self, account: AccountLabels, events: int, oldest_s: float) -> None:
        """What an account has still to send."""
        self._pending.values[account] = events
        self._oldest.values[account] = oldest_s


def _highest(values: Iterable[float]) -> float:
    return max(values, default=0)


class JobMetrics:
    """What scheduled jobs have done; `job` is one of the few that there are."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._runs = _counter(registry, names.JOB_RUNS)
        self._seconds = _histogram(registry, names.JOB_SECONDS)
        self._failing = _gauge(registry, names.JOB_FAILING)
        self._failures = JobFailures(registry)

    def ran(self, job: str, outcome: str, seconds: float) -> None:
        """One run ended."""
        self._runs.labels(job, outcome).inc()
        self._seconds.labels(job).observe(seconds)

    def failing(self, job: str, failures: Mapping[str, int]) -> None:
        """Shops whose last run failed, and how often it has failed since it succeeded."""
        self._failing.labels(job).set(len(failures))
        self._failures.by_job[job] = failures


class ApiMetrics:
    """Requests that the query API answered."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._answers = _counter(registry, names.API_ANSWERS)
        self._seconds = _histogram(registry, names.API_SECONDS)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """One request; `route` is a path of the routes table, or empty if none matched."""
        self._answers.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
