"""Metrics that every role has: whether the store takes its heartbeat, its restarts, its settings,
the disks of its files."""

import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from orderwire.settings.program import Settings
from stream import metric_names as names
from stream.metric_names import NAMED, OTHERS, MetricName

ROOM_BYTES: Final = 1 << 30
ROOM_SHARE: Final = 0.05
"""Less free than either is too little: a full disk turns deliveries into 503."""


class RoleMetrics(Collector):
    """Read whenever metrics are asked for; nothing is counted in between."""

    def __init__(
        self,
        registry: CollectorRegistry,
        settings: Settings,
        restarts: int,
        store_fault: Callable[[], str | None],
        settings_error: Callable[[], str | None],
    ) -> None:
        """`store_fault`: why the heartbeat is not written; `settings_error`: why an edit was
        refused."""
        self._files, self._restarts = data_files(settings), restarts
        self._store_fault, self._settings_error = store_fault, settings_error
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        yield _gauge(names.ROLE_RESTARTS, {(): self._restarts})
        yield _gauge(names.STORE_WRITABLE, {(): self._store_fault() is None})
        yield _gauge(names.SETTINGS_REFUSED, {(): self._settings_error() is not None})
        free = {
            (file,): found
            for file, path in self._files.items()
            if (found := _usage(path)) is not None
        }
        yield _gauge(names.DISK_FREE_BYTES, {file: room.free for file, room in free.items()})
        yield _gauge(
            names.DISK_SHORT, {file: is_short(room.free, room.total) for file, room in free.items()}
        )


class StoppedParts(Collector):
    """Which parts of the role `process` have stopped; `parts` gives each with its reason, or
    None."""

    def __init__(
        self, registry: CollectorRegistry, parts: Callable[[], Mapping[str, str | None]]
    ) -> None:
        self._parts = parts
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        parts = self._parts().items()
        yield _gauge(names.STOPPED, {(part,): reason is not None for part, reason in parts})


class StoppedShops(Collector):
    """Which shops a part of the role `process` does nothing for; `found` gives part and shop."""

    def __init__(
        self, registry: CollectorRegistry, found: Callable[[], Collection[tuple[str, str]]]
    ) -> None:
        self._found = found
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        found = sorted(self._found())
        others = {(OTHERS, OTHERS)} if len(found) > NAMED else set()
        yield _gauge(names.SHOP_STOPPED, dict.fromkeys([*found[:NAMED], *others], 1))


class ClockMetrics(Collector):
    """Steps of the wall clock; `steps` gives how many were noticed."""

    def __init__(self, registry: CollectorRegistry, steps: Callable[[], int]) -> None:
        self._steps = steps
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        metric = names.CLOCK_STEPS
        yield CounterMetricFamily(metric.name, metric.text, self._steps())


class SpoolMetrics(Collector):
    """What waits in a receiver's spool; `state` is its heartbeat's."""

    def __init__(
        self, registry: CollectorRegistry, state: Callable[[], Mapping[str, object]]
    ) -> None:
        self._state = state
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        state = self._state()
        for metric, key in ((names.SPOOL_RECORDS, "records"), (names.SPOOL_SET_ASIDE, "set_aside")):
            count = state.get(key)
            yield _gauge(metric, {(): count} if isinstance(count, int) else {})


def data_files(settings: Settings) -> dict[str, Path]:
    """The files that this installation writes on this machine, by what they are."""
    files = {
        "log": settings.log_file,
        "store": settings.store_file,
        "spool": settings.spool if settings.on_kafka else None,
    }
    return {name: path for name, path in files.items() if path is not None}


def is_short(free: int, total: int) -> bool:
    """Whether a disk has too little room."""
    return free < ROOM_BYTES or free < ROOM_SHARE * total


def _usage(path: Path) -> "shutil._ntuple_diskusage | None":
    try:
        return shutil.disk_usage(path.absolute().parent)
    except OSError:
        return None


def _gauge(metric: MetricName, values: Mapping[tuple[str, ...], float]) -> GaugeMetricFamily:
    found = GaugeMetricFamily(metric.name, metric.text, labels=metric.labels)
    for labels, value in values.items():
        found.add_metric(labels, value)
    return found
