"""The audit `capi`: does Meta take this pixel's token, and does an event arrive?"""

import time
import uuid
from hashlib import sha256
from typing import Any

import orjson
import requests

from destinations.delivery.verdict import ErrorClass
from destinations.meta.errors import classify
from destinations.meta.graph import appsecret_proof, events_body, events_url
from destinations.meta.settings import CapiSettings
from orderwire.doctor.outside import graph_line
from orderwire.doctor.predictions import wants_predicted_ltv
from orderwire.serve.audits.step import Audited, Json, StepFailed, StepResult, TryAgain, last_four
from orderwire.serve.shops.answer_settings import rfm_settings
from orderwire.serve.shops.predicted_ltv import fit_shop
from processors.audits.run import Issue
from query.endpoints.destinations import NO_PREDICTIONS

TIMEOUT_S = 10.0
SLOW_MS = 2_000
QUIET_DAYS = 2
PASSES = (ErrorClass.TRANSIENT, ErrorClass.TRANSIENT_SLOW, ErrorClass.THROTTLE)


def check_credentials(audited: Audited) -> StepResult:
    """Is the pixel there, and does the token reach it?"""
    capi = _capi(audited)
    pixel = _ask(audited, "GET", _pixel_url(capi), params={"fields": "id,name", **_proof(capi)})
    issues = []
    if not capi.app_secret:
        issues.append(
            Issue(
                "info",
                "calls to Meta are not signed with the app's secret",
                "set META_APP_SECRET, and require the proof in the app's settings",
            )
        )
    return StepResult(
        {
            "pixel_id": capi.pixel_id,
            "pixel_name": pixel.get("name"),
            "access_token": last_four(capi.access_token),
            "graph_version": capi.graph_version,
        },
        tuple(issues),
        {"pixel_id": capi.pixel_id},
    )


def test_connection(audited: Audited) -> StepResult:
    """Send a PageView with the test event code: it shows under Test events and counts nowhere."""
    capi = _capi(audited)
    if not capi.test_event_code:
        return StepResult(
            {"sent": False, "latency_ms": None},
            (
                Issue(
                    "warning",
                    "no test event was sent: without a test event code it would count as traffic",
                    "set META_TEST_EVENT_CODE from Events Manager, Test events",
                ),
            ),
        )
    event = orjson.dumps(
        {
            "event_name": "PageView",
            "event_time": audited.now_ms // 1000,
            "event_id": f"orderwire-audit-{uuid.uuid4()}",
            "action_source": "website",
            "event_source_url": f"https://{audited.shop.domain}/",
            # Nobody's: Meta refuses an event that could match no person (subcode 2804050).
            "user_data": {"external_id": [sha256(b"orderwire audit").hexdigest()]},
        }
    )
    began = time.perf_counter()
    answer = _ask(audited, "POST", events_url(capi), data=events_body(capi, [event]))
    latency_ms = round(1000 * (time.perf_counter() - began), 1)
    if answer.get("events_received") != 1:
        raise StepFailed(
            "Meta answered without taking the test event",
            "look at Events Manager, Diagnostics; then run the audit again",
        )
    issues: tuple[Issue, ...] = ()
    if latency_ms > SLOW_MS:
        issues = (
            Issue(
                "warning",
                f"Meta took {latency_ms:.0f} ms to answer",
                "check the way out of this machine: DNS, proxy, distance",
            ),
        )
    return StepResult(
        {"sent": True, "latency_ms": latency_ms, "test_event_code": capi.test_event_code},
        issues,
        {"latency_ms": latency_ms},
    )


def pixel_info(audited: Audited) -> StepResult:
    """Name, availability, when the pixel last fired, and whether events carry predictions."""
    capi = _capi(audited)
    fields = "id,name,last_fired_time,is_unavailable"
    pixel = _ask(audited, "GET", _pixel_url(capi), params={"fields": fields, **_proof(capi)})
    fired = pixel.get("last_fired_time")
    issues = []
    if pixel.get("is_unavailable"):
        issues.append(
            Issue(
                "critical",
                "Meta says that the pixel is not available",
                "look at the pixel in Events Manager; it may have been removed or blocked",
            )
        )
    if not fired:
        issues.append(
            Issue(
                "warning",
                "the pixel has never fired",
                "check that the shop's theme or app loads it, and that orderwire sends",
            )
        )
    predicted = _predicted_ltv(audited)
    if predicted["wanted"] and predicted["reason"] is not None:
        issues.append(
            Issue(
                "info",
                f"predicted_ltv is not sent: {predicted['reason']}",
                "nothing to do: it begins by itself once the reason is gone; see GET /v1/capi",
            )
        )
    return StepResult(
        {
            "name": pixel.get("name"),
            "last_fired_time": fired,
            "is_unavailable": bool(pixel.get("is_unavailable", False)),
            "predicted_ltv": predicted,
        },
        tuple(issues),
        {"pixel_name": pixel.get("name"), "last_fired_time": fired},
    )


def _predicted_ltv(audited: Audited) -> Json:
    """As `predicted_ltv` of `GET /v1/capi`."""
    if not wants_predicted_ltv(audited.shop):
        return {"wanted": False, "sent": False, "reason": NO_PREDICTIONS}
    settings = rfm_settings(audited.shop, audited.settings.rfm_window_days)
    with audited.store.snapshot() as snapshot:
        found = fit_shop(snapshot, audited.shop.domain, settings)
    reason = "no order has been counted yet" if found is None else found.reason
    return {"wanted": True, "sent": reason is None, "reason": reason}


STEPS = {
    "check_credentials": check_credentials,
    "test_connection": test_connection,
    "pixel_info": pixel_info,
}


def _capi(audited: Audited) -> CapiSettings:
    if audited.shop.capi is None:
        raise StepFailed(
            "no pixel is configured for this shop", "set META_PIXEL_ID and META_ACCESS_TOKEN"
        )
    return audited.shop.capi


def _pixel_url(capi: CapiSettings) -> str:
    return f"{capi.graph_url.rstrip('/')}/{capi.graph_version}/{capi.pixel_id}"


def _proof(capi: CapiSettings) -> dict[str, str]:
    if not capi.app_secret:
        return {}
    return {"appsecret_proof": appsecret_proof(capi.app_secret, capi.access_token)}


def _ask(audited: Audited, method: str, url: str, **more: Any) -> Json:
    """Meta's answer. Raises StepFailed, or TryAgain where the reason may pass."""
    capi = _capi(audited)
    headers = {
        "Authorization": f"Bearer {capi.access_token}",
        "Content-Type": "application/json",
    }
    try:
        answer = requests.request(
            method, url, headers=headers, timeout=TIMEOUT_S, allow_redirects=False, **more
        )
    except requests.RequestException as error:
        raise TryAgain(f"{capi.graph_url} cannot be reached ({type(error).__name__})") from None
    if answer.status_code == 200:
        try:
            found = orjson.loads(answer.content)
        except orjson.JSONDecodeError:
            found = None
        if isinstance(found, dict):
            return found
    verdict = classify(answer.status_code, answer.headers, answer.content)
    line = graph_line(audited.shop.domain, capi, verdict)
    if verdict.kind in PASSES:
        raise TryAgain(line.text)
    message, _, action = line.text.partition(": ")
    raise StepFailed(message, action or "see the message")
