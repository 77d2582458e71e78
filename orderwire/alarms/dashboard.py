"""The Grafana dashboard: rows of panels over the metrics, in the order in which people ask."""

import json
from typing import Any, Final, NamedTuple

from stream import metric_names as names
from stream.metric_names import MetricName

SOURCE: Final = {"type": "prometheus", "uid": "${source}"}
WIDTH: Final = 24
HEIGHT: Final = 7
Json = dict[str, Any]


class Panel(NamedTuple):
    """One panel: queries with their legends."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"


def _rate(metric: MetricName, by: str, window: str = "$__rate_interval") -> tuple[str, str]:
    series = metric.series[0]
    return f"sum by ({by}) (rate({series}[{window}]))", f"{{{{{by}}}}}"


def _quantile(metric: MetricName, share: float, by: str = "") -> tuple[str, str]:
    more = f", {by}" if by else ""
    buckets = f"rate({metric.series[0]}[$__rate_interval])"
    legend = f"p{share * 100:g}" + (f" {{{{{by}}}}}" if by else "")
    return f"histogram_quantile({share}, sum by (le{more}) ({buckets}))", legend


def _value(metric: MetricName, by: str) -> tuple[str, str]:
    return f"max by ({by}) ({metric.name})", f"{{{{{by}}}}}"


ROWS: Final[tuple[tuple[str, tuple[Panel, ...]], ...]] = (
    (
        "Is it working",
        (
            Panel("Ready", "bool_yes_no", ((f"min({names.READY.name})", "ready"),), "stat"),
            Panel("Oldest unread record", "s", (_value(names.UNREAD_SECONDS, "processor"),)),
            Panel("Stopped", "short", (_value(names.STOPPED, "part"),)),
            Panel("Free disk", "bytes", (_value(names.DISK_FREE_BYTES, "file"),)),
        ),
    ),
    (
        "Received",
        (
            Panel("Deliveries by outcome", "reqps", (_rate(names.DELIVERIES, "outcome"),)),
            Panel(
                "Time to answer",
                "s",
                (_quantile(names.ACK_SECONDS, 0.5), _quantile(names.ACK_SECONDS, 0.99)),
            ),
            Panel("Connections", "short", (_value(names.CONNECTIONS, "instance"),)),
            Panel("Bodies in memory", "bytes", (_value(names.IN_FLIGHT_BYTES, "instance"),)),
        ),
    ),
    (
        "Processed",
        (
            Panel("Records folded", "reqps", (_rate(names.RECORDS, "processor"),)),
            Panel("Records parked", "reqps", (_rate(names.RECORDS_PARKED, "processor"),)),
            Panel("Batch p99", "s", (_quantile(names.BATCH_SECONDS, 0.99, "processor"),)),
            Panel("Store retries", "reqps", (_rate(names.STORE_RETRIES, "processor"),)),
        ),
    ),
    (
        "Sent",
        (
            Panel("Events by outcome", "reqps", (_rate(names.DELIVERY_EVENTS, "class"),)),
            Panel(
                "Webhook to request",
                "s",
                (_quantile(names.DELIVERY_SECONDS, 0.5), _quantile(names.DELIVERY_SECONDS, 0.99)),
            ),
            Panel("Events that wait", "short", (_value(names.DELIVERY_PENDING, "shop"),)),
            Panel(
                "Paused or failing",
                "short",
                (_value(names.DELIVERY_PAUSED, "shop"), _value(names.DELIVERY_FAILING, "shop")),
            ),
        ),
    ),
    (
        "Beside",
        (
            Panel("Jobs failing", "short", (_value(names.JOB_FAILING, "job"),)),
            Panel("Answers of the API", "reqps", (_rate(names.API_ANSWERS, "status"),)),
            Panel("API p99", "s", (_quantile(names.API_SECONDS, 0.99, "route"),)),
            Panel("Spool", "short", (_value(names.SPOOL_RECORDS, "instance"),)),
        ),
    ),
)


def dashboard() -> str:
    """As Grafana imports it (grafana.com/docs: "Dashboard JSON model")."""
    panels: list[Json] = []
    top = 0
    for title, row in ROWS:
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": title,
                "collapsed": False,
                "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": top},
                "panels": [],
            }
        )
        width = WIDTH // len(row)
        for place, panel in enumerate(row):
            at = {"h": HEIGHT, "w": width, "x": place * width, "y": top + 1}
            panels.append(_panel(panel, len(panels) + 1, at))
        top += HEIGHT + 1
    return json.dumps(_frame(panels), indent=2) + "\n"


def _panel(panel: Panel, number: int, at: Json) -> Json:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "datasource": SOURCE,
        "gridPos": at,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {},
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": SOURCE,
                "expr": expression,
                "legendFormat": legend,
            }
            for place, (expression, legend) in enumerate(panel.queries)
        ],
    }


def _frame(panels: list[Json]) -> Json:
    source = {
        "name": "source",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
    }
    return {
        "uid": "orderwire",
        "title": "orderwire",
        "tags": ["orderwire"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [source]},
        "panels": panels,
    }
