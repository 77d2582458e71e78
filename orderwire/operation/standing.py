"""The state of log and store, read directly while nothing needs to run: `/v1/status`, and the
outcomes of events."""

import asyncio
import time
from typing import Any, NamedTuple

from msgspec import to_builtins

from destinations.delivery.answer import account
from orderwire.serve.feeds import feeds as feeds_of
from orderwire.serve.shops.accounts import shown
from orderwire.serve.shops.zones import zones
from orderwire.settings.program import Settings
from processors.engine.feed import Feed
from query.api_settings import ApiSettings
from query.as_of import Lags, as_of, today
from query.status.alarms import read_alarms
from query.status.answer import (
    Role,
    processors_status,
    read_parked,
    read_roles,
    status_answer,
    stopped,
)
from query.status.deliveries import read_deliveries
from query.status.jobs import read_jobs
from query.status.missed import read_missed
from query.status.projections import read_projections
from query.status.refetch import read_refetch
from query.status.schema import (
    AlarmStatus,
    DeliveryStatus,
    JobStatus,
    MissedStatus,
    ProjectionStatus,
    RefetchStatus,
    StatementStatus,
    StoppedShopStatus,
)
from query.status.statements import read_statements
from query.status.stopped_shops import read_stopped_shops
from stream.log.contract import Log
from stream.log.spool import SpoolState, read_state
from stream.store.contract import Position, Snapshot, Store
from stream.times import instant

ROLE_SILENT_MS = 15_000
"""A role without a heartbeat for this long is not alive; heartbeats come every 2 s."""
LOG_TIMEOUT_S = 5.0

Json = dict[str, Any]


class Filtered(NamedTuple):
    """A subscription whose `include_fields` leaves out fields that we need."""

    shop: str
    topic: str
    """Shopify's name of it."""
    missing: str
    records: int


class RedactionsLate(NamedTuple):
    """Privacy requests of a shop that wait for longer than they should."""

    shop: str
    requests: int
    since: str


REDACTION_SOON_MS = 10 * 60_000
"""A redaction takes seconds once every processor has read the records from before it."""


class StoreState(NamedTuple):
    """The store's state in one snapshot."""

    positions: list[Position]
    roles: list[Role]
    parked: dict[str, int]
    stopped_shops: list[StoppedShopStatus]
    """As in `GET /v1/status`, and so the next."""
    projections: list[ProjectionStatus]
    jobs: list[JobStatus]
    refetch: list[RefetchStatus]
    deliveries: list[DeliveryStatus]
    missed: list[MissedStatus]
    statements: list[StatementStatus]
    alarms: list[AlarmStatus]
    filtered: list[Filtered]
    accounts: dict[str, dict[str, Json]]
    """By shop and name, as in `GET /v1/destinations/{name}`."""
    redactions: list[RedactionsLate]


def feeds(settings: Settings) -> tuple[Feed, ...]:
    """Every processor that runs, and the topic that it reads."""
    return tuple(Feed(name, topic) for name, topic in feeds_of(settings).items())


def read(settings: Settings, store: Store, now_ms: int) -> StoreState:
    """Everything from one snapshot."""
    with store.snapshot() as snapshot:
        roles = read_roles(snapshot, now_ms, ROLE_SILENT_MS)
        return StoreState(
            snapshot.positions(),
            roles,
            read_parked(snapshot, None),
            read_stopped_shops(snapshot, roles, None),
            read_projections(snapshot, None),
            read_jobs(snapshot, None, now_ms),
            read_refetch(snapshot, None),
            read_deliveries(snapshot, None, zones(settings), now_ms),
            read_missed(snapshot, None, now_ms),
            read_statements(snapshot, None, now_ms // 86_400_000),
            read_alarms(snapshot, None, now_ms),
            _filtered(snapshot),
            {
                domain: {
                    each.name: to_builtins(account(snapshot, each, now_ms)) for each in shown(shop)
                }
                for domain, shop in settings.shops.items()
            },
            _redactions(snapshot, now_ms),
        )


def _redactions(snapshot: Snapshot, now_ms: int) -> list[RedactionsLate]:
    late = snapshot.query(
        "SELECT shop, COUNT(*), MIN(asked_ms) FROM redaction"
        " WHERE state NOT IN ('erased', 'closed') AND asked_ms < :soon GROUP BY shop ORDER BY shop",
        soon=now_ms - REDACTION_SOON_MS,
    )
    return [RedactionsLate(shop, requests, instant(since)) for shop, requests, since in late]


def _filtered(snapshot: Snapshot) -> list[Filtered]:
    found = snapshot.query(
        "SELECT shop, source_topic, reason, COUNT(*) FROM parked"
        " WHERE replayed = 0 AND reason LIKE 'missing_fields:%' GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    )
    return [
        Filtered(shop, topic, reason.partition(":")[2].replace(",", ", "), records)
        for shop, topic, reason, records in found
    ]


def spool_state(settings: Settings) -> SpoolState:
    """The state of this machine's spool. Raises Unavailable."""
    return read_state(settings.spool) if settings.on_kafka else SpoolState(0, 0, None)


async def standing(settings: Settings, log: Log, store: Store) -> Json:
    """`/v1/status` (docs/api.md, "GET /v1/status") with `capi` and `destinations` by shop beside
    it. Lags are null if the log does not answer. Raises StoreError, Unavailable."""
    now_ms = time.time_ns() // 1_000_000
    all_feeds = feeds(settings)
    spans = await Lags(log, LOG_TIMEOUT_S).spans({feed.topic for feed in all_feeds})
    kept = await asyncio.to_thread(read, settings, store, now_ms)
    processors = await processors_status(
        log, all_feeds, kept.positions, spans, stopped(kept.roles), now_ms
    )
    api = ApiSettings(shops={}, log_kind="kafka" if settings.on_kafka else "sqlite")
    answer = to_builtins(
        status_answer(
            api,
            store.dialect,
            kept.roles,
            processors,
            kept.parked,
            kept.stopped_shops,
            kept.projections,
            kept.jobs,
            kept.refetch,
            kept.deliveries,
            kept.missed,
            kept.statements,
            kept.alarms,
        )
    )
    here = spool_state(settings)
    if here.records or here.set_aside:
        answer["spool"] = here._asdict()
    return {
        **answer,
        "capi": {shop: its["meta"] for shop, its in kept.accounts.items() if "meta" in its},
        "destinations": kept.accounts,
        "as_of": to_builtins(as_of(now_ms, today(now_ms, None), all_feeds, kept.positions, spans)),
    }
