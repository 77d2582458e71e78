"""Every Prometheus metric: its name, its labels, and what it counts.

Labels take one of a fixed few values, or one of at most `NAMED` that were configured; never one
that a sender chose. Times are seconds, sizes bytes (prometheus.io/docs/practices/naming).
"""

from typing import Final, Literal, NamedTuple

NAMED: Final = 100
"""Series of one metric that name a shop. Of a gauge they are the worst, and what remains is one
series, named `OTHERS`; of a counter they are those counted last, and a metric without the shop has
the sum. So a scrape of 1,000 shops stays small, and so does the Prometheus behind it."""
OTHERS: Final = "others"

ACK_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Up to the 5 s after which Shopify gives a delivery up."""
DELIVERY_BUCKETS_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0, 3600.0)
"""Up to an hour: what is delivered later is late for any receiver."""
JOB_BUCKETS_S: Final = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
SIZE_BUCKETS: Final = (1 << 10, 1 << 12, 1 << 13, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 10 << 20)
BATCH_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class MetricName(NamedTuple):
    """One metric. A counter's series end in `_total`, a histogram's in `_bucket`, `_sum` and
    `_count`."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    text: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """The names of its series, as a query writes them."""
        endings = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum")}
        found = [self.name + ending for ending in endings[self.kind]]
        return (*found, f"{self.name}_count") if self.kind == "histogram" else tuple(found)


DELIVERIES = MetricName(
    "orderwire_deliveries",
    "counter",
    "Deliveries answered, by sender (shopify, meta, pixel), sender's topic and outcome",
    ("sender", "topic", "outcome"),
)
UNSIGNED = MetricName(
    "orderwire_unsigned_deliveries",
    "counter",
    "Deliveries that name a configured shop, without a good signature",
    ("shop",),
)
SIGNATURES = MetricName(
    "orderwire_signatures",
    "counter",
    "Signatures that were good, by position of the secret: 0 is the newest. None but 0 for an hour:"
    " the old one can go",
    ("sender", "secret"),
)
LAST_DELIVERY = MetricName(
    "orderwire_last_delivery_timestamp_seconds",
    "gauge",
    "When a topic of a shop was last delivered to this receiver",
    ("shop", "topic"),
)
ACK_SECONDS = MetricName(
    "orderwire_ack_seconds",
    "histogram",
    "From a delivery's headers to its answer, where the log was asked",
    buckets=ACK_BUCKETS_S,
)
BODY_BYTES = MetricName(
    "orderwire_body_bytes", "histogram", "Length of signed bodies", buckets=SIZE_BUCKETS
)
IN_FLIGHT_BYTES = MetricName(
    "orderwire_in_flight_bytes", "gauge", "Bodies being read or being made durable"
)
CONNECTIONS = MetricName("orderwire_connections", "gauge", "Open connections of the receiver")
CONNECTIONS_CLOSED = MetricName(
    "orderwire_connections_closed",
    "counter",
    "Connections closed by the receiver: no_request in time, evicted (idle, its place was needed),"
    " refused (no place)",
    ("reason",),
)

_PROCESSOR = ("processor",)
RECORDS = MetricName("orderwire_records", "counter", "Records folded", _PROCESSOR)
RECORDS_IGNORED = MetricName(
    "orderwire_records_ignored",
    "counter",
    "Records that this processor has nothing to do with, by their shape or by policy",
    _PROCESSOR,
)
RECORDS_PARKED = MetricName(
    "orderwire_records_parked",
    "counter",
    "Records that could not be understood, with duplicates",
    _PROCESSOR,
)
_PROCESSOR_AND_SHOP = ("processor", "shop")
SHOP_IGNORED_SHARE = MetricName(
    "orderwire_shop_ignored_share",
    "gauge",
    "Share of a shop's records that this processor had nothing to do with, within the last half"
    " hour to hour",
    _PROCESSOR_AND_SHOP,
)
SHOP_PARKED = MetricName(
    "orderwire_shop_records_parked",
    "counter",
    "Records of a shop that could not be understood, with duplicates",
    _PROCESSOR_AND_SHOP,
)
FENCED = MetricName(
    "orderwire_fenced",
    "counter",
    "Batches rolled back because another owner had moved the position",
    _PROCESSOR,
)
STORE_RETRIES = MetricName(
    "orderwire_store_retries",
    "counter",
    "Transactions done again because the database could not do them",
    _PROCESSOR,
)
BATCH_SECONDS = MetricName(
    "orderwire_batch_seconds",
    "histogram",
    "One batch: load, fold, save, commit",
    _PROCESSOR,
    BATCH_BUCKETS_S,
)
EVENT_TIME = MetricName(
    "orderwire_event_time_seconds",
    "gauge",
    "Time of the newest record folded, Unix seconds",
    _PROCESSOR,
)

_ACCOUNT = ("kind", "shop", "destination", "account")
DELIVERY_REQUESTS = MetricName(
    "orderwire_delivery_requests",
    "counter",
    "Requests to destinations, by what came of them",
    ("kind", "class"),
)
DELIVERY_EVENTS = MetricName(
    "orderwire_delivery_events", "counter", "Events in those requests", ("kind", "class")
)
DELIVERY_REQUEST_SECONDS = MetricName(
    "orderwire_delivery_request_seconds",
    "histogram",
    "From request to answer",
    ("kind",),
    BATCH_BUCKETS_S,
)
DELIVERY_SECONDS = MetricName(
    "orderwire_delivery_seconds",
    "histogram",
    "From a webhook's arrival to the request that delivered its event",
    ("kind",),
    DELIVERY_BUCKETS_S,
)
DELIVERY_PAUSED = MetricName(
    "orderwire_delivery_paused",
    "gauge",
    "1 while an account is paused: its token, grant, id or address was refused",
    _ACCOUNT,
)
DELIVERY_FAILING = MetricName(
    "orderwire_delivery_failing",
    "gauge",
    "1 while an account's requests fail one after the other",
    _ACCOUNT,
)
DELIVERY_PENDING = MetricName(
    "orderwire_delivery_pending_events",
    "gauge",
    "Events that wait to be sent, as of the last minute",
    _ACCOUNT,
)
DELIVERY_OLDEST = MetricName(
    "orderwire_delivery_oldest_unsent_seconds",
    "gauge",
    "Age of the oldest of them by its event time; 0 without any",
    _ACCOUNT,
)

JOB_RUNS = MetricName(
    "orderwire_job_runs",
    "counter",
    "Runs of scheduled jobs, each for one shop, by outcome: done or failed",
    ("job", "outcome"),
)
JOB_SECONDS = MetricName(
    "orderwire_job_seconds", "histogram", "How long a job's run took", ("job",), JOB_BUCKETS_S
)
JOB_FAILING = MetricName(
    "orderwire_job_failing_shops",
    "gauge",
    "Shops whose last run of this job failed, whichever process ran it",
    ("job",),
)
JOB_FAILURES = MetricName(
    "orderwire_job_failures",
    "gauge",
    "How often a job has failed for a shop since it last succeeded",
    ("job", "shop"),
)

API_ANSWERS = MetricName(
    "orderwire_api_answers",
    "counter",
    "Answers of the API, by route and status",
    ("route", "status"),
)
API_SECONDS = MetricName(
    "orderwire_api_seconds",
    "histogram",
    "From a request's headers to its answer",
    ("route",),
    ACK_BUCKETS_S,
)

READY = MetricName("orderwire_ready", "gauge", "1 while /readyz is 200; as of the last 5 seconds")
UNREAD_SECONDS = MetricName(
    "orderwire_oldest_unread_seconds",
    "gauge",
    "Age of the oldest record that a processor has not read; 0 without any",
    _PROCESSOR,
)
STOPPED = MetricName(
    "orderwire_stopped",
    "gauge",
    "1 while a processor, or another part of the role process, has stopped",
    ("part",),
)
SHOP_STOPPED = MetricName(
    "orderwire_shop_stopped",
    "gauge",
    "1 while a processor, a projection or its tick does nothing for a shop, having failed",
    ("part", "shop"),
)
ROLE_RESTARTS = MetricName(
    "orderwire_role_restarts", "gauge", "How often the supervisor has started this role again"
)
STORE_WRITABLE = MetricName(
    "orderwire_store_writable", "gauge", "0 while this role's heartbeat cannot be written"
)
SETTINGS_REFUSED = MetricName(
    "orderwire_settings_refused",
    "gauge",
    "1 while a role goes by older settings, the newest being refused",
)
CLOCK_STEPS = MetricName(
    "orderwire_clock_steps", "counter", "How often this machine's clock was set since the start"
)
DISK_FREE_BYTES = MetricName(
    "orderwire_disk_free_bytes", "gauge", "Free space where a file is", ("file",)
)
DISK_SHORT = MetricName(
    "orderwire_disk_short",
    "gauge",
    "1 while less than 5 % or 1 GiB is free where a file is",
    ("file",),
)
SPOOL_RECORDS = MetricName(
    "orderwire_spool_records", "gauge", "Records that wait in this receiver's spool for Kafka"
)
SPOOL_SET_ASIDE = MetricName(
    "orderwire_spool_set_aside_records", "gauge", "Records that Kafka has refused for good"
)

METRICS: Final = tuple(each for each in globals().values() if isinstance(each, MetricName))
"""All of them."""
