"""Asks Meta's Graph API and Shopify's Admin API one question per shop. Tokens travel in headers
only and are never shown."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, NamedTuple

import requests

from destinations.delivery.verdict import ErrorClass
from destinations.meta.errors import GraphVerdict, classify
from destinations.meta.graph import appsecret_proof
from destinations.meta.settings import CapiSettings
from orderwire.doctor import Line, fix, hint, ok
from orderwire.settings.program import ShopSettings

TIMEOUT_S = (4.0, 10.0)
AT_ONCE = 8
SHOP_QUERY = "{ shop { name ianaTimezone currencyCode } }"


class CheckResult(NamedTuple):
    """A check's findings, and how many seconds our clock is ahead of the server's (None if
    unknown)."""

    lines: list[Line]
    ahead_s: float | None = None


def check(shops: list[ShopSettings]) -> tuple[list[Line], list[tuple[str, float]]]:
    """Lines, and clocks to compare with: (whose, seconds that ours is ahead)."""
    asked: list[tuple[str, Callable[[], CheckResult]]] = []
    for shop in shops:
        if shop.capi is not None:
            asked.append(("Meta's clock", partial(graph, shop.domain, shop.capi)))
        if shop.meta.ad_account_id is not None:
            asked.append(("", partial(_ads, shop)))
        if shop.admin_token is not None:
            asked.append(("Shopify's clock", partial(admin, shop)))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(lambda one: one[1](), asked))
    clocks = [
        (whose, answer.ahead_s)
        for (whose, _), answer in zip(asked, answers, strict=True)
        if answer.ahead_s is not None
    ]
    return [line for answer in answers for line in answer.lines], clocks


def _ads(shop: ShopSettings) -> CheckResult:
    from orderwire.doctor.ads import ad_spend

    return CheckResult(ad_spend(shop))


def graph(shop: str, capi: CapiSettings) -> CheckResult:
    """Whether the pixel exists, and whether the token reaches it."""
    url = f"{capi.graph_url.rstrip('/')}/{capi.graph_version}/{capi.pixel_id}"
    query = {"fields": "id,name"}
    if capi.app_secret:
        query["appsecret_proof"] = appsecret_proof(capi.app_secret, capi.access_token)
    headers = {"Authorization": f"Bearer {capi.access_token}"}
    try:
        answer = requests.get(
            url, params=query, headers=headers, timeout=TIMEOUT_S, allow_redirects=False
        )
    except requests.RequestException as error:
        return CheckResult(
            [
                fix(
                    shop,
                    f"{capi.graph_url} cannot be reached ({_kind(error)}): open outgoing HTTPS, or "
                    "check META_GRAPH_URL",
                )
            ]
        )
    ahead_s = _ahead_s(answer)
    body = _json(answer)
    if answer.status_code == 200 and str(body.get("id")) == capi.pixel_id:
        return CheckResult(
            [ok(shop, f"Meta knows pixel {capi.pixel_id}, and the token reaches it")], ahead_s
        )
    verdict = classify(answer.status_code, answer.headers, answer.content)
    return CheckResult([graph_line(shop, capi, verdict)], ahead_s)


def graph_line(shop: str, capi: CapiSettings, verdict: GraphVerdict) -> Line:
    """Meta's own message is not shown: it is translated, and may quote what was sent."""
    details = (
        f"(HTTP {verdict.http_status}, code {verdict.code}, subcode {verdict.subcode}, trace "
        f"{verdict.fbtrace_id})"
    )
    if verdict.code in (190, 102, 104):
        return fix(
            shop,
            f"Meta does not take the access token {details}: make a new one in Events Manager and "
            "set META_ACCESS_TOKEN",
        )
    if verdict.code == 100 and verdict.subcode == 33:
        return fix(
            shop,
            f"pixel {capi.pixel_id} is not there, or the token has no grant for it {details}: "
            "check META_PIXEL_ID and the grant",
        )
    if verdict.code == 100 and verdict.subcode is None:
        return fix(
            shop,
            f"Meta does not take the proof of the app secret {details}: check META_APP_SECRET, or "
            "leave it out",
        )
    if verdict.kind is ErrorClass.CONFIGURATION:
        return fix(
            shop,
            f"the token may not see pixel {capi.pixel_id} {details}: give it ads_management for "
            "this pixel",
        )
    if verdict.kind is ErrorClass.THROTTLE:
        return hint(shop, f"Meta answers, and asks to call less often {details}")
    if verdict.kind in (ErrorClass.TRANSIENT, ErrorClass.TRANSIENT_SLOW):
        return fix(
            shop,
            f"{capi.graph_url} does not answer as Meta does {details}: try again, and check "
            "META_GRAPH_URL and proxies",
        )
    return fix(
        shop,
        f"Meta refuses the question for pixel {capi.pixel_id} {details}: check META_GRAPH_VERSION "
        "and META_PIXEL_ID",
    )


def admin(shop: ShopSettings) -> CheckResult:
    """Whether the Admin API answers, and whether the shop's time zone is the one that is set."""
    token = "" if shop.admin_token is None else shop.admin_token.get_secret_value()
    headers = {"X-Shopify-Access-Token": token}
    try:
        answer = requests.post(
            shop.admin_graphql_url,
            json={"query": SHOP_QUERY},
            headers=headers,
            timeout=TIMEOUT_S,
            allow_redirects=False,
        )
    except requests.RequestException as error:
        details = (
            f"Shopify's Admin API cannot be reached ({_kind(error)}): open outgoing HTTPS, or "
            "check SHOPIFY_ADMIN_URL"
        )
        return CheckResult([fix(shop.domain, details)])
    return CheckResult(_admin_lines(shop, answer), _ahead_s(answer))


def _admin_lines(shop: ShopSettings, answer: requests.Response) -> list[Line]:
    status = answer.status_code
    if status in (401, 403):
        return [
            fix(
                shop.domain,
                f"Shopify does not take the Admin API token (HTTP {status}): set "
                "SHOPIFY_ADMIN_TOKEN anew",
            )
        ]
    if status in (301, 302, 404):
        return [
            fix(
                shop.domain,
                f"no Admin API there (HTTP {status}): check SHOPIFY_SHOP and SHOPIFY_API_VERSION",
            )
        ]
    data = _json(answer).get("data")
    found = data.get("shop") if isinstance(data, dict) else None
    if status != 200 or not isinstance(found, dict):
        return [
            fix(
                shop.domain,
                f"Shopify's Admin API gives no answer to go by (HTTP {status}): try again, check "
                "SHOPIFY_API_VERSION",
            )
        ]
    zone, currency = str(found.get("ianaTimezone") or ""), str(found.get("currencyCode") or "")
    lines = [ok(shop.domain, f"Shopify's Admin API answers: time zone {zone}, currency {currency}")]
    if zone and (shop.zone is None or shop.zone.key != zone):
        lines.append(
            hint(
                shop.domain,
                f"the shop's own time zone is {zone}: set SHOPIFY_TIMEZONE={zone}, so that days "
                "are its days",
            )
        )
    return lines


def _json(answer: requests.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _kind(error: requests.RequestException) -> str:
    """The kind of error, without the URL, which may carry a proof."""
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    return "no connection" if isinstance(error, requests.ConnectionError) else type(error).__name__


def _ahead_s(answer: requests.Response) -> float | None:
    """From the Date header, which has whole seconds."""
    try:
        theirs = parsedate_to_datetime(answer.headers["Date"])
    except (KeyError, ValueError):
        return None
    now = datetime.fromtimestamp(time.time() - answer.elapsed.total_seconds() / 2, UTC)
    return (now - theirs).total_seconds() - 0.5 if theirs.tzinfo else None
