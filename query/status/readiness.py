"""Whether answers are complete and go on: the reasons and notes of `/readyz`. They are also looked
at every few seconds, so that the log and a metric have them where nobody asks."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from processors.engine.feed import Feed
from query.as_of import Spans
from query.services import ApiServices
from query.status.answer import Role, oldest_s, read_roles, spool, spool_fault, stopped
from query.status.schema import Readiness, StoppedShopStatus
from query.status.stopped_shops import read_stopped_shops, without_any_shop
from stream import metric_names as names
from stream.rate_limit import RateLimit
from stream.store.contract import Position, StoreError

TIMEOUT_S: Final = 2.0
LOOK_S: Final = 5.0
log = structlog.get_logger()


async def readiness(services: ApiServices, now_ms: int) -> Readiness:
    """Reasons if answers would be incomplete or have stopped moving. A spool in use is noted, and
    ready."""
    feeds = services.settings.processors
    spans = await services.lags.spans({"orders", *(feed.topic for feed in feeds)})
    return (await _look(services, spans, now_ms))[0]


async def _look(
    services: ApiServices, spans: Spans, now_ms: int
) -> tuple[Readiness, list[Position]]:
    reasons, notes, positions = list[str](), list[str](), list[Position]()

    def read() -> tuple[list[Role], list[Position], list[StoppedShopStatus]]:
        with services.store.snapshot() as snapshot:
            roles = read_roles(snapshot, now_ms, services.settings.role_silent_ms)
            return roles, snapshot.positions(), read_stopped_shops(snapshot, roles, None)

    if not services.ready:
        reasons.append("shutting down")
    # Heartbeats that cannot be written would only say that nobody is there.
    fault = services.store_fault()
    if fault is not None:
        reasons.append(f"the store cannot be written: {_in_our_words(fault)}")
    try:
        async with asyncio.timeout(TIMEOUT_S):
            roles, positions, stopped_shops = await asyncio.to_thread(read)
        reasons += _processors(
            services, roles, positions, stopped_shops, spans, now_ms, beating=fault is None
        )
        notes += _notes(services, roles, stopped_shops, beating=fault is None)
    except (StoreError, TimeoutError):
        reasons.append("the store does not answer")
    if "orders" not in spans:
        reasons.append("the log does not answer")
    if not services.arrays.loaded:
        reasons.append("cells are not in memory yet")
    return Readiness(ready=not reasons, reasons=reasons, notes=notes), positions


def _in_our_words(fault: str) -> str:
    """Anybody may ask `/readyz`, and a database's words may hold its address."""
    words = {
        "full": "its disk is full",
        "No space left": "its disk is full",
        "readonly": "it is read-only",
        "read-only": "it is read-only",
        "malformed": "it is damaged",
        "not a database": "it is damaged",
        "locked": "it is locked",
    }
    return next((ours for theirs, ours in words.items() if theirs in fault), "see the log")


def _processors(
    services: ApiServices,
    roles: list[Role],
    positions: list[Position],
    stopped_shops: list[StoppedShopStatus],
    spans: Spans,
    now_ms: int,
    *,
    beating: bool,
) -> Iterator[str]:
    """Why processors do not move."""
    gone = _stopped(services, roles, stopped_shops)
    for name, reason in sorted(gone.items()):
        yield f"processor {name} stopped: {reason}"
    for role in roles:
        if role.alive and (refusing := role.details.get("refusing")):
            why = _in_our_words(refusing)
            yield f"role {role.role} ({role.instance}) refuses deliveries: {why}"
    feeds = [feed for feed in services.settings.processors if feed.processor not in gone]
    still = services.standing.reasons(feeds, positions, spans, now_ms)
    if services.standing.nobody_folds(roles, now_ms) and beating:
        yield "no process role has a fresh heartbeat"
    else:
        yield from still


def _stopped(
    services: ApiServices, roles: list[Role], stopped_shops: list[StoppedShopStatus]
) -> Mapping[str, str]:
    return without_any_shop(stopped_shops, services.settings.shops) | stopped(roles)


def _notes(
    services: ApiServices,
    roles: list[Role],
    stopped_shops: list[StoppedShopStatus],
    *,
    beating: bool,
) -> Iterator[str]:
    """What is worth a look and no reason."""
    for name, why in stopped(roles, "parts").items():
        yield f"{name} stopped: {why}"
    gone = _stopped(services, roles, stopped_shops)
    yield from sorted(
        {
            f"processor {each.processor} has stopped for a shop: {each.reason}"
            for each in stopped_shops
            if each.state != "catching_up" and each.processor not in gone
        }
    )
    for role in roles:
        if role.alive and (error := role.details.get("settings_error")):
            yield f"role {role.role} goes by older settings: {error}"
    for role in roles:
        if role.failed:
            yield f"role {role.role} ended and is started again: {role.failed}"
        elif not role.alive and beating:
            yield f"role {role.role} ({role.instance}) has no fresh heartbeat"
    if waiting := spool(roles).records:
        yield f"{waiting} records wait in the spool for the log"
    if refused := spool(roles).set_aside:
        yield f"{refused} records were refused by the log: `orderwire replay --set-aside`"
    for role in roles:
        if role.alive and (fault := spool_fault(role)):
            yield f"role {role.role} ({role.instance}): {fault}"


class Watched(Collector):
    """The readiness as of the last look, as metrics and log lines."""

    def __init__(
        self,
        services: ApiServices,
        registry: CollectorRegistry,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._services, self._limit = services, RateLimit(clock_s)
        self._reasons: tuple[str, ...] | None = None
        self._unread: dict[str, float] = {}
        registry.register(self)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it was not ready, when last looked at."""
        return self._reasons or ()

    def collect(self) -> Iterator[Metric]:
        """Called by the registry; nothing is known before the first look."""
        ready = GaugeMetricFamily(names.READY.name, names.READY.text)
        if self._reasons is not None:
            ready.add_metric((), not self._reasons)
        yield ready
        metric = names.UNREAD_SECONDS
        unread = GaugeMetricFamily(metric.name, metric.text, labels=metric.labels)
        for processor, age_s in dict(self._unread).items():
            unread.add_metric((processor,), age_s)
        yield unread

    async def keep(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look(self._services.clock())
            except Exception as error:
                if self._limit.allows("look"):
                    log.error("readiness not known", error=type(error).__name__)
            await asyncio.sleep(LOOK_S)

    async def look(self, now_ms: int) -> None:
        """Once. Each reason is logged once a minute, and once that there is none left."""
        services = self._services
        feeds = services.settings.processors
        spans = await services.lags.spans({"orders", *(feed.topic for feed in feeds)})
        found, positions = await _look(services, spans, now_ms)
        if positions:
            self._unread = await self._ages(feeds, positions, spans, now_ms)
        reasons = tuple(found.reasons)
        for reason in reasons:
            # Numbers in it (seconds, offsets) make it no other reason.
            if self._limit.allows("".join(each for each in reason if not each.isdigit())):
                log.warning("not ready", reason=reason)
        if self._reasons and not reasons:
            log.info("ready again")
        self._reasons = reasons

    async def _ages(
        self, feeds: tuple[Feed, ...], positions: list[Position], spans: Spans, now_ms: int
    ) -> dict[str, float]:
        log_ = self._services.log
        ages = [await oldest_s(log_, feed, positions, spans, now_ms) for feed in feeds]
        found: dict[str, float] = {}
        for feed, age_s in zip(feeds, ages, strict=True):
            if age_s is not None:
                found[feed.processor] = max(age_s, found.get(feed.processor, 0.0))
        return found
