"""The numbers on the demo's screen, read from the sender, the Graph stand-in and the store.

The store is read by the functions of the API, in one snapshot. Latencies are of the live phase
only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from aggregates.budget.answer.overview import budget
from aggregates.budget.answer.schema import Budget
from aggregates.carts.answer.overview import carts
from aggregates.carts.answer.schema import CartsOverview
from aggregates.rfm.answer.overview import RfmArrays
from aggregates.rfm.answer.segments import SEGMENTS
from destinations.delivery import answer as destination
from destinations.delivery.answer import percentile
from destinations.delivery.schema import Outcomes
from processors.engine.feed import Feed
from query.api_settings import ShopAnswerSettings
from query.as_of import Spans, lag_records, today
from simulator.shop.sender import Traffic
from stream.money import MoneyJson
from stream.store.contract import Reading, Store

Json = dict[str, Any]
RECENT = 2_000
"""Answers that the acknowledgement's percentiles are of."""


@dataclass(frozen=True, slots=True)
class Aggregates:
    """The numbers of one store snapshot."""

    lag: int | None
    """Records that a processor has yet to fold, summed over all processors; None where the log did
    not answer."""
    sent: int
    """Events of the live phase that Meta took."""
    left_out: int
    """Orders of the live phase of which no event will be sent."""
    sent_before: int
    """Events of history's last week that Meta took."""
    state: str
    to_meta_ms: tuple[float | None, float | None]
    """p50 and p99 from a webhook's arrival to the request that Meta took its event from."""
    customers: int
    orders: int
    segments: tuple[tuple[str, int], ...]
    """Most customers first."""
    carts: CartsOverview
    budget: Budget
    parked: tuple[tuple[str, int], ...]


@dataclass(slots=True)
class StoreReader:
    """Reads the store as the API would; `settings` has one account; the baselines are the
    counts before the live phase."""

    store: Store
    shop: str
    settings: ShopAnswerSettings
    latency_baseline: dict[int, int] = field(default_factory=dict)
    outcomes_baseline: Outcomes | None = None
    """None until the live phase begins."""
    _rfm: RfmArrays = field(init=False)

    def __post_init__(self) -> None:
        self._rfm = RfmArrays(self.store)

    def mark(self, now_ms: int) -> None:
        """Start of the live phase. Blocks."""
        with self.store.snapshot() as snapshot:
            self.latency_baseline = _latency(snapshot, self.shop)
            sent = destination.account(snapshot, self.settings.accounts[0], now_ms)
            self.outcomes_baseline = sent.outcomes

    def read(self, feeds: tuple[Feed, ...], spans: Spans, now_ms: int) -> Aggregates:
        """All numbers, from one snapshot. Blocks. Raises StoreUnavailable."""
        with self._rfm.snapshot_view(self.shop) as (snapshot, view):
            day = today(now_ms, self.settings.zone)
            scored = self._rfm.scores(view, view.as_of_day or day)
            sent = destination.account(snapshot, self.settings.accounts[0], now_ms)
            latency = {
                bucket: count - self.latency_baseline.get(bucket, 0)
                for bucket, count in _latency(snapshot, self.shop).items()
            }
            segments = scored.segments or {}
            sizes = ((name, segments[name].customers) for name in SEGMENTS if name in segments)
            parked = snapshot.query(
                "SELECT reason, sum(records) FROM parked_cell WHERE records > 0 GROUP BY reason "
                "ORDER BY 2 DESC, 1"
            )
            outcomes = sent.outcomes
            before = self.outcomes_baseline or outcomes
            return Aggregates(
                lag=lag_records(feeds, snapshot.positions(), spans),
                sent=_sent(outcomes) - _sent(before),
                left_out=_left_out(outcomes) - _left_out(before),
                sent_before=_sent(before),
                state=sent.state or "",
                to_meta_ms=(percentile(latency, 0.5), percentile(latency, 0.99)),
                customers=scored.customers,
                orders=scored.orders,
                segments=tuple(sorted(sizes, key=lambda pair: -pair[1])),
                carts=carts(snapshot, self.shop, now_ms, self.settings.carts),
                budget=budget(snapshot, self.shop, day, self.settings.budget),
                parked=tuple((reason, int(records)) for reason, records in parked),
            )


def _latency(reading: Reading, shop: str) -> dict[int, int]:
    rows = reading.query(
        "SELECT name, events FROM outbox_cell WHERE shop = :shop AND kind = 'latency'", shop=shop
    )
    return {int(name): events for name, events in rows}


def _sent(outcomes: Outcomes) -> int:
    return outcomes.sent + outcomes.maybe_accepted


def _left_out(outcomes: Outcomes) -> int:
    gone = outcomes.skipped + outcomes.no_consent + outcomes.too_old
    return gone + outcomes.expired + outcomes.dead


@dataclass(frozen=True, slots=True)
class Figures:
    """One screenful."""

    phase: str
    elapsed_s: float
    statuses: Mapping[int, int]
    """HTTP status -> answers, history and live together; 0 where there was none."""
    history: int
    """Deliveries of history acknowledged so far."""
    live: int
    """Deliveries of the live phase acknowledged so far."""
    repeated: int
    """Of them, deliveries that had been sent before: duplicates and retries."""
    placed: int
    """Orders whose creation was acknowledged in the live phase."""
    acked_ms: tuple[float | None, float | None]
    graph: Json
    aggregates: Aggregates | None
    predicted_ltv: str = "-"
    """Per customer, in shop currency, or why it is not known."""


def recent_percentiles(traffic: Traffic) -> tuple[float | None, float | None]:
    """p50 and p99 of the last answers, milliseconds."""
    ordered = sorted(traffic.latencies_ms[-RECENT:])
    if not ordered:
        return None, None
    return ordered[len(ordered) // 2], ordered[int(0.99 * len(ordered))]


def money_text(value: MoneyJson | None) -> str:
    """`{"amount": "1234.50", "currency_code": "USD"}` -> `1,234.50 USD`."""
    return "-" if value is None else f"{Decimal(value['amount']):,} {value['currency_code']}"


def predicted_ltv_text(rfm: Json) -> str:
    """Of the answer of `GET /v1/rfm`: the value per customer, or what is missing, in few words."""
    predicted = rfm.get("ltv_predicted") or {}
    if predicted.get("ltv") is not None:
        return f"{money_text(predicted['ltv'])} a year"
    return "too few ordered again" if predicted.get("reason") else "-"
