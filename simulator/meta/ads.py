"""The Graph stand-in's ad accounts: Insights by campaign and day, campaigns and ad sets, with
paging, report runs, usage headers and Meta's refusals (docs/facts/meta.md, "Insights").

Purchases stand under several action types, as Meta's do, so that a reader who adds them up is
found out. Two calls in flight on one account are counted in `overlaps`.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

from simulator.meta.replies import error_body
from stream.money import is_known

Json = dict[str, Any]
PURCHASE_TYPES = ("purchase", "omni_purchase", "offsite_conversion.fb_pixel_purchase")
MOST_ROWS = 2_000
"""Of one answer that is not a report run's; beyond it Meta asks for less."""


@dataclass
class Ads:
    """One ad account. `rows` are records of the topic `spend`; tests may change them."""

    account_id: str
    rows: list[Json]
    currency: str = "EUR"
    time_zone: str = "Europe/Paris"
    budgets: Mapping[str, Json] = field(default_factory=dict)
    """By campaign id: fields of a campaign, such as `daily_budget` and `effective_status`."""
    ad_sets: Sequence[Json] = ()
    objects: Mapping[str, Json] = field(default_factory=dict)
    """By id: what is said of single campaigns, ad sets and ads."""
    faults: deque[tuple[int, bytes]] = field(default_factory=deque)
    """Status and body that the next calls get instead of an answer."""
    used_percent: float = 3.0
    calls: list[str] = field(default_factory=list)
    """`METHOD path` of every call."""
    overlaps: int = 0
    delay_s: float = 0.0
    looks: int = 2
    """How often a report run is not ready when it is asked for."""
    _in_flight: int = 0
    _runs: dict[str, tuple[Json, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not is_known(self.currency):
            raise ValueError(f"{self.currency} is no currency")

    async def answer(self, request: web.Request, query: Mapping[str, str]) -> web.Response:
        """A call about this account, its token judged already."""
        path = request.path.split("/", 2)[2]
        self.calls.append(f"{request.method} {path}")
        self.overlaps += self._in_flight > 0
        self._in_flight += 1
        try:
            await asyncio.sleep(self.delay_s)
            if self.faults:
                status, body = self.faults.popleft()
            else:
                status, body = self._judge(request.method, path, query)
        finally:
            self._in_flight -= 1
        return web.Response(
            status=status, body=body, content_type="application/json", headers=self._usage()
        )

    def owns(self, object_id: str) -> bool:
        """Whether a path's first part is this account or a report run of it."""
        own = f"act_{self.account_id}"
        return object_id == own or object_id in self._runs or object_id in self.objects

    def _usage(self) -> dict[str, str]:
        case = {"type": "ads_insights", "call_count": 1, "total_cputime": 1, "total_time": 1}
        throttle = {
            "app_id_util_pct": self.used_percent,
            "acc_id_util_pct": 0,
            "ads_api_access_tier": "standard_access",
        }
        return {
            "X-Business-Use-Case-Usage": orjson.dumps({self.account_id: [case]}).decode(),
            "X-FB-Ads-Insights-Throttle": orjson.dumps(throttle).decode(),
        }

    def _judge(self, method: str, path: str, query: Mapping[str, str]) -> tuple[int, bytes]:
        first, _, edge = path.partition("/")
        if first in self._runs:
            return self._run(first, edge, query)
        if first in self.objects:
            return 200, orjson.dumps({"id": first, **self.objects[first]})
        match method, edge:
            case "GET", "":
                return 200, orjson.dumps(
                    {
                        "account_id": self.account_id,
                        "currency": self.currency,
                        "timezone_name": self.time_zone,
                        "id": first,
                    }
                )
            case "GET", "insights":
                rows = self._insights(query)
                if len(rows) > MOST_ROWS:
                    message = "Please reduce the amount of data you're asking for"
                    return 500, error_body(1, message, "A1", subcode=99)
                return 200, _page(rows, query)
            case "POST", "insights":
                run = str(9_000_000 + len(self._runs))
                self._runs[run] = (dict(query), 0)
                return 200, orjson.dumps({"report_run_id": run})
            case "GET", "campaigns":
                named = {row["campaign_id"]: row["campaign_name"] for row in self.rows}
                campaigns = [
                    {
                        "id": campaign_id,
                        "name": name,
                        "effective_status": "ACTIVE",
                        **self.budgets.get(campaign_id, {}),
                    }
                    for campaign_id, name in named.items()
                ]
                return 200, _page(campaigns, query)
            case "GET", "adsets":
                return 200, _page(self.ad_sets, query)
        return 400, error_body(100, f"Unknown path components: /{edge}", "A1")

    def _run(self, run: str, edge: str, query: Mapping[str, str]) -> tuple[int, bytes]:
        asked, looks = self._runs[run]
        if edge == "insights":
            if looks <= self.looks:
                return 400, error_body(100, "Report run is not ready", "A1")
            return 200, _page(self._insights(asked), query)
        self._runs[run] = (asked, looks + 1)
        status, percent = ("Job Running", 60) if looks else ("Job Not Started", 0)
        if looks >= self.looks:
            status, percent = "Job Completed", 100
        return 200, orjson.dumps(
            {"id": run, "async_status": status, "async_percent_completion": percent}
        )

    def _insights(self, asked: Mapping[str, str]) -> list[Json]:
        if asked.get("level") != "campaign" or asked.get("time_increment") != "1":
            return []
        span = orjson.loads(asked["time_range"])
        found = [
            row
            for row in self.rows
            if row["channel"] == "meta" and span["since"] <= row["date"] <= span["until"]
        ]
        return [self._row(row) for row in sorted(found, key=lambda row: str(row["date"]))]

    def _row(self, row: Json) -> Json:
        orders, revenue = str(row.get("platform_orders", 0)), str(row.get("platform_revenue", "0"))
        made = {
            "campaign_id": row["campaign_id"],
            "campaign_name": row["campaign_name"],
            "spend": str(row["spend"]),
            "impressions": str(row.get("impressions", 0)),
            "clicks": str(row.get("clicks", 0)),
            "account_currency": self.currency,
            "date_start": row["date"],
            "date_stop": row["date"],
        }
        if orders != "0":
            kinds = ("link_click", *PURCHASE_TYPES)
            made["actions"] = [{"action_type": kind, "value": orders} for kind in kinds]
            made["action_values"] = [
                {"action_type": kind, "value": revenue} for kind in PURCHASE_TYPES
            ]
        return made


def _page(rows: Sequence[Json], query: Mapping[str, str]) -> bytes:
    limit, first = int(query.get("limit", "25")), int(query.get("after") or 0)
    page = list(rows[first : first + limit])
    paging: Json = {"cursors": {"before": str(first), "after": str(first + len(page))}}
    if first + limit < len(rows):
        paging["next"] = "https://graph.facebook.com/next?access_token=never-log-this"
    return orjson.dumps({"data": page, **({"paging": paging} if page else {})})
