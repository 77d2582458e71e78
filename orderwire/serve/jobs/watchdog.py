"""The job `watchdog`: restores webhook subscriptions that Shopify removed, and fails, which is an
alarm, if a topic is silent although the Admin API shows orders."""

from collections.abc import Callable, Sequence
from typing import Final

import structlog

from ingest.shopify.admin.client import AdminClient
from ingest.shopify.admin.records import rfc3339
from ingest.shopify.admin.silence import Silent, newest, silent
from ingest.shopify.admin.subscriptions import Wanted
from orderwire.operation.shopify.subscribing import SubscribedAddress, address, subscribe
from orderwire.operation.shopify.wanted_subscriptions import topic_name, wanted
from orderwire.serve.schedule.job import Done, Job, Turn
from orderwire.serve.schedule.services import Services
from orderwire.serve.shops.admin import admin_client
from orderwire.settings.program import Settings
from stream.store.contract import Store

NAME: Final = "watchdog"
EVERY_S: Final = 600.0
PATIENCE_S: Final = 8.0
"""A turn that fails is tried again by the schedule, and does not delay a stop."""
SILENT_ROLE_MS: Final = 60_000
log = structlog.get_logger()


class TopicSilent(Exception):
    """Deliveries are missing; the message says of which topics, and what to look at."""


class NotSubscribed(Exception):
    """Shopify refuses a subscription; the message has its words."""


def watchdog_job(settings: Settings, services: Services) -> Job:
    """The job, of the shops whose Admin API may be asked."""
    shops = {name: shop for name, shop in settings.shops.items() if shop.has_admin_api}
    watchdog = Watchdog(
        services.store,
        lambda name: admin_client(shops[name], services.store, patience_s=PATIENCE_S),
        lambda name: wanted(shops[name]),
    )
    return Job(NAME, EVERY_S, watchdog.run, frozenset(shops))


class Watchdog:
    """Runs the job. `client` and `wanted` are of a shop."""

    def __init__(
        self,
        store: Store,
        client: Callable[[str], AdminClient],
        wanted: Callable[[str], tuple[Wanted, ...]],
    ) -> None:
        self._store, self._client, self._wanted = store, client, wanted

    def run(self, turn: Turn) -> Done:
        """Raises TopicSilent, NotSubscribed, AdminError."""
        client = self._client(turn.shop)
        try:
            with self._store.snapshot() as snapshot:
                kept = address(snapshot, turn.shop)
            note = self._restore(client, turn.shop, kept) if kept is not None else ""
            self._listen(client, turn, kept)
        finally:
            client.close()
        return Done(note)

    def _restore(self, client: AdminClient, shop: str, kept: SubscribedAddress) -> str:
        done = subscribe(client, self._wanted(shop), kept.uri, dry_run=False)
        if not done.changes:
            return ""
        topics = ", ".join(topic_name(change.topic) for change in done.changes)
        log.warning("subscriptions_restored", shop=shop, topics=topics)
        if done.problems:
            first = done.problems[0]
            raise NotSubscribed(
                f"Shopify refuses {len(done.problems)} subscriptions, such as"
                f" {topic_name(first.change.topic)}: {first.message}"
            )
        return f"{len(done.changes)} subscriptions restored: {topics}"

    def _listen(self, client: AdminClient, turn: Turn, kept: SubscribedAddress | None) -> None:
        with self._store.snapshot() as snapshot:
            rows = snapshot.query(
                "SELECT topic, last_ms FROM delivery_count WHERE shop = :shop", shop=turn.shop
            )
            receivers = snapshot.query(
                "SELECT started_ms FROM roles WHERE role = 'receive' AND beat_ms >= :since",
                since=turn.now_ms - SILENT_ROLE_MS,
            )
        if not receivers:
            return  # Nobody listens, which another alarm reports.
        since_ms = min(row.started_ms for row in receivers)
        expected = frozenset[str]()
        if kept is not None:
            since_ms = max(since_ms, kept.since_ms)
            expected = frozenset(topic_name(each.topic) for each in self._wanted(turn.shop))
        happened = newest(client, turn.now_ms)
        last_ms = {row.topic: row.last_ms for row in rows}
        if found := silent(happened, last_ms, expected, since_ms):
            raise TopicSilent(_alarm(found))


def _alarm(found: Sequence[Silent]) -> str:
    parts = ", ".join(
        f"{' and '.join(each.topics)} (last {_time(each.last_ms)};"
        f" Shopify has {each.what} of {each.at})"
        for each in found
    )
    return f"silent: {parts}: look at the subscription and its address"


def _time(ms: int | None) -> str:
    return "never" if ms is None else rfc3339(ms)[:19] + "Z"
