"""Every Prometheus metric: its name, its labels, and what it counts. One class per role.

Labels take one of a fixed few values, never one that a sender chose. Times are seconds, sizes bytes
(prometheus.io/docs/practices/naming).
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import accumulate
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

ACK_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Up to the 5 s after which Shopify gives a delivery up."""

DELIVERY_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0)
"""Up to the hour within which Meta wants an event (docs/facts/meta.md, "Freshness")."""

JOB_BUCKETS_S = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)

SIZE_BUCKETS = (1 << 10, 1 << 12, 1 << 13, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 10 << 20)


class _Tally:
    """A histogram counted by bisection: a tenth of what `Histogram.observe` costs."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds, self._counts, self._sum = bounds, [0] * (len(bounds) + 1), 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def family(self, name: str, documentation: str) -> HistogramMetricFamily:
        edges = [*map(str, map(float, self._bounds)), "+Inf"]
        return HistogramMetricFamily(
            name, documentation, list(zip(edges, accumulate(self._counts), strict=True)), self._sum
        )


class ReceiverMetrics(Collector):
    """Deliveries received and answered.

    Counted in plain numbers and collected when the metrics are read: the library's own counters
    would make a delivery 5 % more expensive.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._deliveries: dict[tuple[str, str, str], int] = {}
        self._signatures: dict[tuple[str, int], int] = {}
        self._ack_s, self._body_bytes = _Tally(ACK_BUCKETS_S), _Tally(SIZE_BUCKETS)
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
        deliveries = CounterMetricFamily(
            "orderwire_deliveries",
            "Deliveries answered, by sender (shopify, meta), sender's topic and outcome",
            labels=("sender", "topic", "outcome"),
        )
        for labels, count in tuple(self._deliveries.items()):
            deliveries.add_metric(labels, count)
        signatures = CounterMetricFamily(
            "orderwire_signatures",
            "Signatures that were good, by position of the secret: 0 is the newest. None but 0 for "
            "an hour: the old one can go",
            labels=("sender", "secret"),
        )
        for (sender, secret), count in tuple(self._signatures.items()):
            signatures.add_metric((sender, str(secret)), count)
        last = GaugeMetricFamily(
            "orderwire_last_delivery_timestamp_seconds",
            "When a topic of a shop was last delivered to this receiver",
            labels=("shop", "topic"),
        )
        for labels_of_shop, at_ms in tuple(self._last_ms().items()):
            last.add_metric(labels_of_shop, at_ms / 1000)
        yield deliveries
        yield last
        yield signatures
        yield self._ack_s.family(
            "orderwire_ack_seconds",
            "From a delivery's headers to its answer, where the log was asked",
        )
        yield self._body_bytes.family("orderwire_body_bytes", "Length of signed bodies")
        yield GaugeMetricFamily(
            "orderwire_in_flight_bytes",
            "Bodies being read or being made durable",
            self._in_flight_bytes(),
        )
        yield GaugeMetricFamily(
            "orderwire_connections", "Open connections of the receiver", self._connections()
        )
        closed = CounterMetricFamily(
            "orderwire_connections_closed",
            "Connections closed by the receiver: no_request in time, evicted (idle, its place was"
            " needed), refused (no place)",
            labels=("reason",),
        )
        for reason, count in tuple(self._closed.items()):
            closed.add_metric((reason,), count)
        yield closed


class ProcessorMetrics:
    """What one processor has folded."""

    def __init__(
        self,
        registry: CollectorRegistry,
        processor: str,
        *,
        shared: "ProcessorMetrics | None" = None,
    ) -> None:
        """`shared` is the metrics of another processor of the same process: the metric families
        exist once."""
        families = _processor_families(registry) if shared is None else shared._families
        self._families: _ProcessorFamilies = families
        self.records = families.records.labels(processor)
        self.ignored = families.ignored.labels(processor)
        self.parked = families.parked.labels(processor)
        self.fenced = families.fenced.labels(processor)
        self.retries = families.retries.labels(processor)
        self.batch_s = families.batch_s.labels(processor)
        self.event_time_s = families.event_time_s.labels(processor)
        self.stopped_shops = families.stopped_shops.labels(processor)


class _ProcessorFamilies(NamedTuple):
    records: Counter
    ignored: Counter
    parked: Counter
    fenced: Counter
    retries: Counter
    batch_s: Histogram
    event_time_s: Gauge
    stopped_shops: Gauge


def _processor_families(registry: CollectorRegistry) -> _ProcessorFamilies:
    label = ("processor",)
    return _ProcessorFamilies(
        Counter("orderwire_records", "Records folded", label, registry=registry),
        Counter(
            "orderwire_records_ignored",
            "Records that this processor has nothing to do with, by their shape or by policy",
            label,
            registry=registry,
        ),
        Counter(
            "orderwire_records_parked",
            "Records that could not be understood, with duplicates",
            label,
            registry=registry,
        ),
        Counter(
            "orderwire_fenced",
            "Batches rolled back because another owner had moved the position",
            label,
            registry=registry,
        ),
        Counter(
            "orderwire_store_retries",
            "Transactions done again because the database could not do them",
            label,
            registry=registry,
        ),
        Histogram(
            "orderwire_batch_seconds",
            "One batch: load, fold, save, commit",
            label,
            registry=registry,
        ),
        Gauge(
            "orderwire_event_time_seconds",
            "Time of the newest record folded, Unix seconds",
            label,
            registry=registry,
        ),
        Gauge(
            "orderwire_stopped_shops",
            "Shops whose records this processor does not fold, most of them having failed",
            label,
            registry=registry,
        ),
    )


class DeliveryMetrics:
    """What the sender has sent, by kind of destination."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "orderwire_delivery_requests",
            "Requests to destinations, by what came of them",
            ("kind", "class"),
            registry=registry,
        )
        self._events = Counter(
            "orderwire_delivery_events",
            "Events in those requests",
            ("kind", "class"),
            registry=registry,
        )
        self._request_seconds = Histogram(
            "orderwire_delivery_request_seconds",
            "From request to answer",
            ("kind",),
            registry=registry,
        )
        self._delivery_seconds = Histogram(
            "orderwire_delivery_seconds",
            "From a webhook's arrival to the request that delivered its event",
            ("kind",),
            buckets=DELIVERY_BUCKETS_S,
            registry=registry,
        )
        self._paused = Gauge(
            "orderwire_delivery_paused",
            "1 while an account is paused: its token, grant, id or address was refused",
            ("kind", "account"),
            registry=registry,
        )
        self._failing = Gauge(
            "orderwire_delivery_failing",
            "1 while an account's requests fail one after the other",
            ("kind", "account"),
            registry=registry,
        )
        self._pending = Gauge(
            "orderwire_delivery_pending_events",
            "Events that wait to be sent, as of the last minute",
            ("kind", "account"),
            registry=registry,
        )
        self._oldest = Gauge(
            "orderwire_delivery_oldest_unsent_seconds",
            "Age of the oldest of them by its event time; 0 without any",
            ("kind", "account"),
            registry=registry,
        )

    def requested(self, kind: str, outcome: str, events: int, seconds: float) -> None:
        """One request ended; `outcome` is its error class, or `each` if its events differ."""
        self._requests.labels(kind, outcome).inc()
        self._events.labels(kind, outcome).inc(events)
        self._request_seconds.labels(kind).observe(seconds)

    def delivered(self, kind: str, seconds: Iterable[float]) -> None:
        """These events were accepted, each so many seconds after its webhook arrived."""
        for latency in seconds:
            self._delivery_seconds.labels(kind).observe(latency)

    def paused(self, kind: str, account: str, paused: bool) -> None:
        """Whether an account is paused; `account` is one of the configured ones."""
        self._paused.labels(kind, account).set(paused)

    def failing(self, kind: str, account: str, failing: bool) -> None:
        """Whether an account's requests fail; `account` as in `paused`."""
        self._failing.labels(kind, account).set(failing)

    def waiting(self, kind: str, account: str, events: int, oldest_s: float) -> None:
        """What an account has still to send."""
        self._pending.labels(kind, account).set(events)
        self._oldest.labels(kind, account).set(oldest_s)


class JobMetrics:
    """What scheduled jobs have done; `job` is one of the few that there are."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._runs = Counter(
            "orderwire_job_runs",
            "Runs of scheduled jobs, each for one shop, by outcome: done or failed",
            ("job", "outcome"),
            registry=registry,
        )
        self._seconds = Histogram(
            "orderwire_job_seconds",
            "How long a job's run took",
            ("job",),
            buckets=JOB_BUCKETS_S,
            registry=registry,
        )
        self._failing = Gauge(
            "orderwire_job_failing_shops",
            "Shops whose last run of this job failed, whichever process ran it",
            ("job",),
            registry=registry,
        )

    def ran(self, job: str, outcome: str, seconds: float) -> None:
        """One run ended."""
        self._runs.labels(job, outcome).inc()
        self._seconds.labels(job).observe(seconds)

    def failing(self, job: str, shops: int) -> None:
        """For how many shops the last run failed."""
        self._failing.labels(job).set(shops)


class ApiMetrics:
    """Requests that the query API answered."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._answers = Counter(
            "orderwire_api_answers",
            "Answers of the API, by route and status",
            ("route", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "orderwire_api_seconds",
            "From a request's headers to its answer",
            ("route",),
            buckets=ACK_BUCKETS_S,
            registry=registry,
        )

    def answered(self, route: str, status: int, seconds: float) -> None:
        """One request; `route` is a path of the routes table, or empty if none matched."""
        self._answers.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
