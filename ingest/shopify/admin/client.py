"""Sends Shopify's Admin API one GraphQL document at a time, within the shop's limits, with retries
and one renewal of the token on 401 (`errors.py` has what it raises)."""

import time
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import requests
import stamina

from ingest.shopify.admin.cost import Bucket
from ingest.shopify.admin.errors import (
    AccessDenied,
    AdminUnavailable,
    QueryRefused,
    TokenRefused,
    access_denied,
)
from ingest.shopify.admin.tokens import Tokens

TIMEOUT_S = (4.0, 60.0)
"""To connect, and between bytes: a page of 250 orders may take Shopify many seconds."""
PATIENCE_S = 300.0
LONGEST_WAIT_S = 30.0
PASSES = frozenset({"INTERNAL_SERVER_ERROR", "TIMEOUT", "SERVICE_UNAVAILABLE"})
"""Codes of GraphQL errors that the same query may not meet again."""
SHOP_STATES = {
    402: "the shop is frozen, because its owner owes Shopify",
    403: "the shop refuses the app",
    404: "no Admin API is there: check SHOPIFY_SHOP, SHOPIFY_API_VERSION and SHOPIFY_ADMIN_URL",
    423: "the shop is locked",
}
"""HTTP statuses that no waiting mends. Source: shopify.dev, "Response status and error codes"."""


class _Throttled(AdminUnavailable):
    """Too many points or requests; `wait_s` is when to try again, where Shopify says it."""

    def __init__(self, wait_s: float | None) -> None:
        super().__init__("Shopify's Admin API goes on throttling this app")
        self.wait_s = wait_s


class _Unauthorised(Exception):
    """401: the token is not, or no longer, good."""


class AdminClient:
    """The Admin API of one shop. Blocks; threads may share it."""

    def __init__(
        self,
        url: str,
        tokens: Tokens,
        *,
        patience_s: float = PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`url` is the shop's GraphQL endpoint, version included."""
        self.url = url
        self._tokens = tokens
        self._bucket = Bucket(clock)
        self._sleep = sleep
        self._http = requests.Session()
        self._caller = stamina.RetryingCaller(
            attempts=None, timeout=patience_s, wait_initial=0.5, wait_max=LONGEST_WAIT_S
        )

    def query(self, document: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The answer's `data`.

        Raises AdminUnavailable, TokenRefused, AccessDenied, QueryRefused.
        """
        body = {"query": document, "variables": dict(variables or {})}
        return self._caller(_try_again, self._ask, document, body)

    def pages(
        self, document: str, variables: Mapping[str, Any], connection: str
    ) -> Iterator[list[dict[str, Any]]]:
        """Nodes of a connection at the top of the answer, page by page, by its cursor.

        The document takes `$after` and selects `nodes` and `pageInfo { hasNextPage endCursor }`.
        """
        after: str | None = None
        while True:
            found = self.query(document, {**variables, "after": after})[connection]
            yield found["nodes"]
            if not found["pageInfo"]["hasNextPage"]:
                return
            after = found["pageInfo"]["endCursor"]

    def open(self, url: str, offset: int = 0) -> requests.Response:
        """A result file of a bulk operation as a stream, from a byte on; close it.

        The URL is signed for anybody who has it, so no token goes along. Raises AdminUnavailable,
        and QueryRefused where the file is gone.
        """
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        try:
            answer = requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S)
        except requests.RequestException as error:
            raise AdminUnavailable(f"a result file cannot be read ({_kind(error)})") from None
        if answer.status_code == (206 if offset else 200):
            return answer
        answer.close()
        if answer.status_code in (400, 403, 404, 410):
            raise QueryRefused(f"HTTP {answer.status_code}", "the result file is gone")
        raise AdminUnavailable(f"a result file cannot be read (HTTP {answer.status_code})")

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _ask(self, document: str, body: Mapping[str, Any]) -> dict[str, Any]:
        if (wait_s := self._bucket.wait_s(document)) > 0:
            self._sleep(wait_s)
        token = self._tokens.token()
        try:
            return self._once(document, body, token)
        except _Unauthorised:
            if not self._tokens.renew(token):
                raise TokenRefused(
                    "Shopify does not take the Admin API token: set SHOPIFY_ADMIN_TOKEN anew, or "
                    "SHOPIFY_CLIENT_ID and SHOPIFY_CLIENT_SECRET"
                ) from None
        try:
            return self._once(document, body, self._tokens.token())
        except _Unauthorised:
            raise TokenRefused(
                "Shopify does not take a new Admin API token either: is the app installed?"
            ) from None

    def _once(self, document: str, body: Mapping[str, Any], token: str) -> dict[str, Any]:
        headers = {"X-Shopify-Access-Token": token, "Accept": "application/json"}
        try:
            # A redirect would carry the token to wherever it points.
            answer = self._http.post(
                self.url, json=body, headers=headers, timeout=TIMEOUT_S, allow_redirects=False
            )
        except requests.RequestException as error:
            raise AdminUnavailable(f"{self.url} cannot be reached ({_kind(error)})") from None
        status = answer.status_code
        if status == 401:
            raise _Unauthorised
        if status == 429:
            raise _Throttled(_retry_after_s(answer))
        if status >= 500 or status == 408:
            raise AdminUnavailable(f"Shopify's Admin API answers HTTP {status}")
        if status in SHOP_STATES:
            raise TokenRefused(f"{SHOP_STATES[status]} (HTTP {status})")
        if status != 200:
            raise QueryRefused(f"HTTP {status}", "the request itself is not taken")
        return self._judge(document, answer)

    def _judge(self, document: str, answer: requests.Response) -> dict[str, Any]:
        try:
            body_of_answer = answer.json()
        except ValueError:
            body_of_answer = None
        if not isinstance(body_of_answer, dict):
            raise AdminUnavailable("Shopify's Admin API answers with something that is not JSON")
        extensions = body_of_answer.get("extensions")
        self._bucket.answered(document, (extensions or {}).get("cost"))
        data, errors = body_of_answer.get("data"), body_of_answer.get("errors")
        if isinstance(errors, str):
            # "[API] Invalid API key or access token …" comes with HTTP 200 from some proxies.
            raise QueryRefused("errors", errors[:200])
        for error in errors if isinstance(errors, list) else []:
            self._raise(document, error, data)
        if not isinstance(data, dict):
            raise AdminUnavailable("Shopify's Admin API answers without data")
        return data

    def _raise(self, document: str, error: Any, data: Any) -> None:
        error = error if isinstance(error, dict) else {}
        extensions = error.get("extensions")
        code = str(extensions.get("code", "")) if isinstance(extensions, dict) else ""
        message = str(error.get("message", ""))
        if code == "THROTTLED" or message == "Throttled":
            raise _Throttled(self._bucket.wait_s(document) or None)
        if code in PASSES:
            raise AdminUnavailable(f"Shopify's Admin API answers {code}")
        if code == "SHOP_INACTIVE":
            raise TokenRefused("the shop is not active (SHOP_INACTIVE)")
        if code == "ACCESS_DENIED" or "not approved to" in message:
            raise access_denied(error, data if isinstance(data, dict) else None)
        raise QueryRefused(code or "error", message[:200])


def _try_again(error: Exception) -> bool | float:
    """Whether, and in how many seconds at the earliest."""
    if isinstance(error, _Throttled):
        return True if error.wait_s is None else min(error.wait_s + 0.05, LONGEST_WAIT_S)
    return isinstance(error, AdminUnavailable)


def _retry_after_s(answer: requests.Response) -> float | None:
    """From `Retry-After`, in seconds or as a date."""
    text = answer.headers.get("Retry-After", "")
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(text)
        # By Shopify's own clock: ours may be wrong.
        return max(0.0, (until - parsedate_to_datetime(answer.headers["Date"])).total_seconds())
    except (KeyError, TypeError, ValueError):
        return None


def _kind(error: requests.RequestException) -> str:
    """Without requests' own message, which quotes URLs."""
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted"
    return "no connection" if isinstance(error, requests.ConnectionError) else type(error).__name__


__all__ = ["AccessDenied", "AdminClient", "AdminUnavailable", "QueryRefused", "TokenRefused"]
