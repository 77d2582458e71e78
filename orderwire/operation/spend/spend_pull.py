"""Pulls ad spend of one shop from Meta's Insights onto the topic `spend`, for the command and the
scheduled job."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from aggregates.budget.fold.ad_issues import KEPT_MS, OF_STATUS, open_issues, settle
from aggregates.budget.fold.spend import SPEND
from aggregates.budget.fold.spend_record import SpendRow, decode_spend
from ingest.meta.graph import Graph, GraphAccess, GraphRefused
from ingest.meta.insights import (
    InsightsAccount,
    ad_account,
    campaign_days,
    daily_budgets,
    object_state,
    with_budgets,
)
from ingest.spend.campaign_day import CampaignDay, Rates, row
from ingest.spend.record import spend_record
from orderwire.settings.program import ShopSettings
from stream.record import Entry, Record
from stream.store.contract import Entities, Key, Store

CHANNEL: Final = "meta"
RECENT_DAYS: Final = 3
RESTATED_DAYS: Final = 28
HISTORY_DAYS: Final = 93
"""What /v1/budget looks back on: 30 judged days and the 60 before them."""
WINDOW_DAYS: Final = 31
"""Asked for at once, the newest first, so that a pull that ends half-way has what counts most."""
DAY_MS: Final = 86_400_000
MOST_ISSUES: Final = 50
"""Looked up in one pull, one call each."""


class PullRow(NamedTuple):
    """How far a shop's ad account was read: columns of `spend_pull`."""

    shop: str
    channel: str
    account_id: str
    currency: str
    time_zone: str
    first_day: int
    """The first day that was read, days since 1970-01-01."""
    restated_ms: int
    """When the last 28 days were read last."""
    pulled_ms: int


PULLS: Final = Entities("spend_pull", PullRow, 2)


@dataclass(frozen=True, slots=True)
class Pulled:
    """What one pull came to."""

    account: InsightsAccount
    since: date
    until: date
    days: int
    """Campaign days that the platform reported."""
    changed: int
    """Those among them that were written."""

    @property
    def note(self) -> str:
        """For people."""
        return (
            f"{self.days} campaign days from {self.since} to {self.until},"
            f" {self.changed} new or changed"
        )


def access(shop: ShopSettings) -> tuple[GraphAccess, str] | None:
    """How to ask for a shop's ad spend, and of which account; None where it is not set."""
    meta, capi = shop.meta, shop.capi
    token = (
        meta.ads_token.get_secret_value()
        if meta.ads_token is not None
        else capi.access_token
        if capi is not None
        else None
    )
    if meta.ad_account_id is None or token is None:
        return None
    secret = None if meta.app_secret is None else meta.app_secret.get_secret_value()
    return GraphAccess(token, secret, meta.graph_url, meta.graph_version), meta.ad_account_id


def pull(
    shop: ShopSettings,
    graph: Graph,
    store: Store,
    append: Callable[[Sequence[Record]], None],
    now_ms: int,
    *,
    days: int | None = None,
) -> Pulled:
    """Read what is due, or the last `days`. Raises GraphError, StoreError, LogError.

    The last 3 days each time, the last 28 once a day, and `HISTORY_DAYS` if this ad account was
    never read: spend settles within about 2 days, conversions within 28 (docs/facts/meta.md,
    "Insights"). Unchanged days are not written again.
    """
    account = ad_account(graph)
    today = _today(account, now_ms)
    known = _known_pull(store, shop.domain)
    if known is not None and known.account_id != account.account_id:
        known = None
    due = days or _due_days(known, now_ms)
    rates = Rates(shop.ads.conversion, shop.currency)
    budgets = daily_budgets(graph, account)
    reported = changed = 0
    since = today - timedelta(days=due - 1)
    until = today
    while until >= since:
        first = max(since, until - timedelta(days=WINDOW_DAYS - 1))
        found = campaign_days(graph, account, first, until)
        if until == today:
            found = with_budgets(found, budgets)
        records = _changed(store, shop.domain, found, rates, now_ms)
        if records:
            append(records)
        reported, changed = reported + len(found), changed + len(records)
        until = first - timedelta(days=1)
    settle_issues(store, graph, shop.domain, now_ms)
    _note(store, shop.domain, account, known, since, due, now_ms)
    return Pulled(account, since, today, reported, changed)


def settle_issues(store: Store, graph: Graph, shop: str, now_ms: int) -> None:
    """Find the campaigns of ads with issues, and close the issues of those that are well again:
    Meta sends no notice of that. Raises GraphError, StoreError."""
    with store.snapshot() as snapshot:
        known = list(open_issues(snapshot, shop, now_ms - KEPT_MS))[:MOST_ISSUES]
    found = []
    for issue in known:
        try:
            campaign_id, well = object_state(graph, issue.object_id, issue.level)
        except GraphRefused:
            continue  # deleted, or out of reach: it is forgotten in time
        # A fatigued ad runs all the same.
        over = well and issue.field in OF_STATUS
        found.append(
            issue._replace(campaign_id=campaign_id or issue.campaign_id, open=int(not over))
        )
    if found:
        with store.begin() as transaction:
            settle(transaction, found)


def _due_days(known: PullRow | None, now_ms: int) -> int:
    if known is None:
        return HISTORY_DAYS
    return RESTATED_DAYS if now_ms - known.restated_ms >= DAY_MS else RECENT_DAYS


def _today(account: InsightsAccount, now_ms: int) -> date:
    try:
        zone = ZoneInfo(account.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return datetime.fromtimestamp(now_ms / 1000, UTC).date()
    return datetime.fromtimestamp(now_ms / 1000, zone).date()


def _known_pull(store: Store, shop: str) -> PullRow | None:
    with store.begin() as transaction:
        return transaction.load(PULLS, [(shop, CHANNEL)]).get((shop, CHANNEL))


def _changed(
    store: Store, shop: str, days: Sequence[CampaignDay], rates: Rates, now_ms: int
) -> list[Record]:
    """Records of the days whose numbers are not those of the store."""
    reported_at = datetime.fromtimestamp(now_ms / 1000, UTC).isoformat(timespec="milliseconds")
    records = [spend_record(shop, row(each, rates, reported_at), now_ms) for each in days]
    rows = [decode_spend(Entry(record, 0, 0)) for record in records]
    keys: list[Key] = [(each.shop, each.day, each.channel, each.campaign) for each in rows]
    with store.begin() as transaction:
        stored = transaction.load(SPEND, keys)
    return [
        record
        for record, new, key in zip(records, rows, keys, strict=True)
        if key not in stored or _numbers(stored[key]) != _numbers(new)
    ]


def _numbers(row: SpendRow) -> SpendRow:
    return row._replace(reported_us=0, digest="")


def _note(
    store: Store,
    shop: str,
    account: InsightsAccount,
    known: PullRow | None,
    since: date,
    due: int,
    now_ms: int,
) -> None:
    first_day = since.toordinal() - date(1970, 1, 1).toordinal()
    made = PullRow(
        shop,
        CHANNEL,
        account.account_id,
        account.currency,
        account.time_zone,
        first_day if known is None else min(first_day, known.first_day),
        now_ms if due >= RESTATED_DAYS else known.restated_ms if known is not None else 0,
        now_ms,
    )
    with store.begin() as transaction:
        transaction.load(PULLS, [PULLS.key_of(made)])
        transaction.save(PULLS, [made])
