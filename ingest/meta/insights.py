"""Reads ad costs by campaign and day from Meta's Insights. Few days are asked for directly; more
than `SYNC_DAYS`, or what Meta finds too much, as a report run."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from ingest.meta.graph import Away, Graph, GraphRefused, Throttled, TooMuch
from ingest.spend.campaign_day import CampaignDay
from stream.money import is_known

SYNC_DAYS: Final = 7
RUN_DEADLINE_S: Final = 600.0
RUN_LOOKS_S: Final = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Between looks at a report run; the last one repeats."""
FIELDS: Final = (
    "campaign_id,campaign_name,spend,impressions,clicks,actions,action_values,account_currency,"
    "date_start,date_stop"
)
PURCHASES: Final = ("omni_purchase", "purchase", "offsite_conversion.fb_pixel_purchase")
"""`actions` repeats one purchase under each of these: the first that a report has counts, never a
sum."""
WHOLE_UNITS: Final = frozenset(
    ("CLP", "COP", "CRC", "HUF", "ISK", "IDR", "JPY", "KRW", "PYG", "TWD", "VND")
)
"""Budgets come in hundredths of the currency, in these in whole units (Marketing API:
Currencies)."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class InsightsAccount:
    """Whose days and whose money rows are in."""

    account_id: str
    currency: str
    time_zone: str


def ad_account(graph: Graph) -> InsightsAccount:
    """The ad account's currency and time zone. Raises GraphError."""
    found = graph.get(graph.account, fields="account_id,currency,timezone_name")
    currency = str(found.get("currency", ""))
    if not is_known(currency):
        raise GraphRefused(f"{graph.account} has no currency that is known here")
    account_id = graph.account.removeprefix("act_")
    return InsightsAccount(account_id, currency, str(found.get("timezone_name", "")))


def campaign_days(
    graph: Graph, account: InsightsAccount, since: date, until: date
) -> list[CampaignDay]:
    """Every campaign's days from `since` to `until`, as Meta reports them. Raises GraphError."""
    parameters = {
        "level": "campaign",
        "time_increment": "1",
        "time_range": f'{{"since":"{since}","until":"{until}"}}',
        "fields": FIELDS,
    }
    path = f"{graph.account}/insights"
    if (until - since).days < SYNC_DAYS:
        try:
            return _days(list(graph.rows(path, **parameters)), account)
        except TooMuch:
            pass
    return _days(list(_report_run(graph, path, parameters)), account)


def _report_run(graph: Graph, path: str, parameters: dict[str, str]) -> Iterator[Json]:
    run = str(graph.post(path, **parameters).get("report_run_id", ""))
    if not run.isdigit():
        raise Away("Meta began no report run")
    waited_s, looks = 0.0, 0
    while True:
        state = graph.get(run, fields="async_status,async_percent_completion,error_code")
        status = state.get("async_status")
        if status == "Job Completed" and state.get("async_percent_completion") == 100:
            break
        if status in ("Job Failed", "Job Skipped"):
            raise Away(f"Meta's report run ended with {status!r} (code {state.get('error_code')})")
        if waited_s >= RUN_DEADLINE_S:
            raise Throttled("Meta's report run is not ready after 10 minutes", 300.0)
        pause_s = RUN_LOOKS_S[min(looks, len(RUN_LOOKS_S) - 1)]
        graph.wait(pause_s)
        waited_s, looks = waited_s + pause_s, looks + 1
    yield from graph.rows(f"{run}/insights")


def _days(rows: list[Json], account: InsightsAccount) -> list[CampaignDay]:
    reported = {kind for row in rows for kind in _by_type(row.get("actions"))}
    purchase = next((kind for kind in PURCHASES if kind in reported), PURCHASES[0])
    return [_day(row, account, purchase) for row in rows]


def _day(row: Json, account: InsightsAccount, purchase: str) -> CampaignDay:
    orders = _by_type(row.get("actions")).get(purchase, Decimal(0))
    try:
        return CampaignDay(
            date=date.fromisoformat(str(row["date_start"])),
            channel="meta",
            campaign_id=str(row["campaign_id"]),
            campaign_name=str(row.get("campaign_name", "")),
            currency=str(row.get("account_currency") or account.currency),
            spend=_number(row.get("spend")),
            impressions=int(_number(row.get("impressions"))),
            clicks=int(_number(row.get("clicks"))),
            platform_revenue=_by_type(row.get("action_values")).get(purchase, Decimal(0)),
            platform_orders=round(orders),
            time_zone=account.time_zone,
        )
    except (KeyError, ValueError):
        raise Away("a row of Meta's Insights has no day or no campaign") from None


def _by_type(actions: object) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for action in actions if isinstance(actions, list) else ():
        if isinstance(action, dict) and isinstance(action.get("action_type"), str):
            found[action["action_type"]] = _number(action.get("value"))
    return found


def _number(value: object) -> Decimal:
    try:
        found = Decimal(str(value)) if value is not None else Decimal(0)
    except InvalidOperation:
        return Decimal(0)
    return found if found.is_finite() else Decimal(0)


def daily_budgets(graph: Graph, account: InsightsAccount) -> dict[str, Decimal]:
    """What each campaign may spend per day, as it is set now; zero while it is paused. Raises
    GraphError.

    A campaign without a budget of its own has those of its ad sets. One with a lifetime budget is
    left out.
    """
    units = Decimal(1) if account.currency in WHOLE_UNITS else Decimal(100)
    budgets: dict[str, Decimal] = {}
    by_ad_set: set[str] = set()
    for campaign in graph.rows(
        f"{graph.account}/campaigns", fields="id,effective_status,daily_budget,lifetime_budget"
    ):
        campaign_id = str(campaign.get("id", ""))
        if campaign.get("effective_status") != "ACTIVE":
            budgets[campaign_id] = Decimal(0)
        elif daily := _number(campaign.get("daily_budget")):
            budgets[campaign_id] = daily / units
        elif not _number(campaign.get("lifetime_budget")):
            by_ad_set.add(campaign_id)
    if by_ad_set:
        budgets |= _ad_set_budgets(graph, by_ad_set, units)
    return budgets


def _ad_set_budgets(graph: Graph, campaigns: set[str], units: Decimal) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    unknown: set[str] = set()
    for ad_set in graph.rows(
        f"{graph.account}/adsets", fields="campaign_id,effective_status,daily_budget"
    ):
        campaign_id = str(ad_set.get("campaign_id", ""))
        if campaign_id not in campaigns or ad_set.get("effective_status") != "ACTIVE":
            continue
        daily = _number(ad_set.get("daily_budget"))
        if not daily:
            unknown.add(campaign_id)
        sums[campaign_id] = sums.get(campaign_id, Decimal(0)) + daily / units
    return {each: total for each, total in sums.items() if each not in unknown}


_UNDECIDED: Final = frozenset(
    ("WITH_ISSUES", "DISAPPROVED", "PENDING_REVIEW", "PENDING_BILLING_INFO", "IN_PROCESS")
)


def object_state(graph: Graph, object_id: str, level: str) -> tuple[str, bool]:
    """The campaign of a campaign, ad set or ad, and whether nothing is wrong with it any more.
    Raises GraphError."""
    is_campaign = level == "CAMPAIGN"
    fields = "effective_status" if is_campaign else "effective_status,campaign_id"
    found = graph.get(object_id, fields=fields)
    campaign_id = object_id if is_campaign else str(found.get("campaign_id") or "")
    status = str(found.get("effective_status") or "IN_PROCESS")
    return campaign_id, status not in _UNDECIDED


def with_budgets(days: list[CampaignDay], budgets: dict[str, Decimal]) -> list[CampaignDay]:
    """Each campaign's budget beside its newest day: it says nothing of the days before."""
    newest: dict[str, date] = {}
    for each in days:
        newest[each.campaign_id] = max(each.date, newest.get(each.campaign_id, each.date))
    return [
        replace(each, daily_budget=budgets[each.campaign_id])
        if each.campaign_id in budgets and each.date == newest[each.campaign_id]
        else each
        for each in days
    ]
