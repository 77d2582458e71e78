"""Polls Meta's Event Match Quality (`dataset_quality`) and keeps it beside our own counts.

It is asked at once for a new pixel, every six hours after an answer, and after a quarter of an hour
where it gave none (docs/facts/meta.md, "Match quality").
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import urlencode

import orjson
import structlog

from destinations.delivery.account import Account
from destinations.delivery.transport import Call, CallFailed
from destinations.meta.account import META_ACCOUNTS, load
from destinations.meta.errors import classify, scrubbed
from destinations.meta.graph import headers
from destinations.meta.settings import CapiSettings
from processors.shopify.tolerance import mapping, sequence
from stream.store.contract import Store, StoreUnavailable, Transaction
from stream.times import day_text

EVERY_MS = 6 * 3_600_000
AGAIN_MS = 900_000
TIMEOUT_S = 20.0
DAY_MS = 86_400_000
TREND_DAYS = 90
PURCHASE = "Purchase"
FIELDS = (
    "web{event_name,event_match_quality{composite_score,match_key_feedback{identifier,coverage{percentage}}},"
    "event_coverage{percentage,goal_percentage},dedupe_key_feedback{dedupe_key,"
    "browser_events_with_dedupe_key{percentage},server_events_with_dedupe_key{percentage},"
    "overall_browser_coverage_from_dedupe_key{percentage}},"
    "data_freshness{upload_frequency},acr{percentage}}"
)
log = structlog.get_logger()


def quality_url(settings: CapiSettings) -> str:
    """The URL to poll; holds no secret. `appsecret_proof` is not sent, since in a GET it would be
    in the URL; a token of an app that demands proofs cannot poll, and the answer says so."""
    query = urlencode({"dataset_id": settings.pixel_id, "fields": FIELDS})
    return f"{settings.graph_url.rstrip('/')}/{settings.graph_version}/dataset_quality?{query}"


def parsed(body: bytes) -> dict[str, Any]:
    """Per event name: score of 10, coverage per identifier in percent, freshness. Missing values
    are None."""
    events = {}
    for entry in map(mapping, sequence(mapping(orjson.loads(body)).get("web"))):
        quality = mapping(entry.get("event_match_quality"))
        feedback = map(mapping, sequence(quality.get("match_key_feedback")))
        events[str(entry.get("event_name"))] = {
            "event_match_quality": quality.get("composite_score"),
            "coverage_percent": {
                str(f.get("identifier")): mapping(f.get("coverage")).get("percentage")
                for f in feedback
            },
            "event_coverage": entry.get("event_coverage"),
            "dedupe_key_feedback": entry.get("dedupe_key_feedback"),
            "data_freshness": mapping(entry.get("data_freshness")).get("upload_frequency"),
        }
    return {"events": events, "reason": None}


class QualityPoller:
    """Polls every shop's pixel; `run` until cancelled. If Meta refuses, the reason is kept and
    sending goes on."""

    def __init__(
        self,
        store: Store,
        accounts: Sequence[Account],
        call: Call,
        *,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store, self._accounts, self._call, self._clock_ms, self._sleep = (
            store,
            accounts,
            call,
            clock_ms,
            sleep,
        )

    async def run(self) -> None:
        """Poll each pixel when that is due, whichever process got its last answer."""
        while True:
            for account in self._accounts:
                try:
                    await self.poll(account)
                except StoreUnavailable as error:
                    log.warning("match quality not kept", shop=account.shop, detail=str(error))
            await self._sleep(AGAIN_MS / 1_000)

    async def poll(self, account: Account) -> bool:
        """Poll one pixel if that is due; returns whether it was."""
        settings: CapiSettings = account.settings
        now_ms = self._clock_ms()
        if not await asyncio.to_thread(self._keep, account, None, now_ms):
            return False
        answer: dict[str, Any]
        try:
            got = await self._call("GET", quality_url(settings), headers(settings), None, TIMEOUT_S)
            if got.status == 200:
                answer = parsed(got.body)
            else:
                verdict = classify(got.status, got.headers, got.body)
                message = scrubbed(verdict.message, settings.access_token, settings.app_secret)
                answer = {
                    "events": {},
                    "reason": f"Meta gave no answer: {verdict.kind}, code {verdict.code}, "
                    f"{message}",
                }
        except CallFailed as error:
            answer = {"events": {}, "reason": f"Meta could not be asked: {error}"}
        except orjson.JSONDecodeError:
            answer = {"events": {}, "reason": "Meta's answer was not JSON"}
        answer["pixel_id"] = settings.pixel_id
        await asyncio.to_thread(self._keep, account, orjson.dumps(answer).decode(), now_ms)
        return True

    def _keep(self, account: Account, quality: str | None, now_ms: int) -> bool:
        """Take the turn (None), or store the answer."""
        with self._store.begin() as transaction:
            return _kept(transaction, account, quality, now_ms)


def _kept(transaction: Transaction, account: Account, quality: str | None, now_ms: int) -> bool:
    row = load(transaction, account.shop, account.name)
    age_ms = now_ms - row.quality_ms  # Negative where the clock has gone back.
    if quality is None and 0 <= age_ms < _pause_ms(row.quality, account):
        return False
    kept = row.quality if quality is None else _with_trend(quality, row.quality, now_ms)
    transaction.save(META_ACCOUNTS, [row._replace(quality=kept, quality_ms=now_ms)])
    return True


def _with_trend(quality: str, before: str, now_ms: int) -> str:
    """The answer, with the score of each day that the answers before it have seen."""
    said, known = orjson.loads(quality), mapping(orjson.loads(before)) if before else {}
    same = known.get("pixel_id", said["pixel_id"]) == said["pixel_id"]
    trend = dict(mapping(known.get("trend"))) if same else {}
    score = mapping(mapping(said["events"]).get(PURCHASE)).get("event_match_quality")
    if isinstance(score, int | float):
        trend[day_text(now_ms // DAY_MS)] = score
    said["trend"] = dict(sorted(trend.items())[-TREND_DAYS:])
    return orjson.dumps(said).decode()


def _pause_ms(quality: str, account: Account) -> int:
    """How long the last answer holds."""
    said = mapping(orjson.loads(quality)) if quality else {}
    settings: CapiSettings = account.settings
    if said.get("pixel_id", settings.pixel_id) != settings.pixel_id:
        return 0
    return AGAIN_MS if said.get("reason") else EVERY_MS
