"""Shows in metrics what waits for each account, and whether it is paused or failing."""

from collections.abc import Callable, Mapping

from destinations.delivery.ledger import Waiting, waiting_events
from destinations.delivery.sending.lane import Lane
from destinations.delivery.sending.writing import StoreWriting
from stream.metrics import DeliveryMetrics
from stream.shop_metrics import AccountLabels
from stream.store.contract import Store, StoreUnavailable

MEASURE_MS = 15_000
"""How often what waits is counted: it costs a query over all of it."""


class Gauges:
    """The gauges of one sender; without `metrics` it does nothing."""

    def __init__(
        self,
        store: Store,
        writing: StoreWriting,
        metrics: DeliveryMetrics | None,
        clock_ms: Callable[[], int],
        steady_ms: Callable[[], int],
    ) -> None:
        self._store, self._writing, self._metrics = store, writing, metrics
        self._clock_ms, self._steady_ms = clock_ms, steady_ms
        self._next_ms: int | None = None

    def show(self, lane: Lane) -> None:
        """The account's state."""
        if self._metrics is not None:
            labels = _labels(lane)
            self._metrics.paused(labels, lane.account.paused_since_ms is not None)
            self._metrics.failing(labels, lane.account.failing_since_ms is not None)

    async def measure(self, lanes: Mapping[tuple[str, str], Lane]) -> None:
        """Count what waits, if it is time."""
        now_ms, steady_ms = self._clock_ms(), self._steady_ms()
        if self._metrics is None or steady_ms < (self._next_ms or steady_ms):
            return
        self._next_ms = steady_ms + MEASURE_MS
        try:
            found = await self._writing.in_thread(self._waiting)
        except StoreUnavailable:
            return  # The look before has logged it.
        for each in found:
            lane = lanes.get((each.shop, each.destination))
            if lane is not None:
                oldest_s = 0 if each.oldest_s is None else max(now_ms / 1000 - each.oldest_s, 0)
                self._metrics.waiting(_labels(lane), each.events, oldest_s)

    def _waiting(self) -> list[Waiting]:
        with self._store.snapshot() as snapshot:
            return waiting_events(snapshot)


def _labels(lane: Lane) -> AccountLabels:
    to = lane.destination
    return AccountLabels(to.kind, to.shop, to.name, lane.account.account)
