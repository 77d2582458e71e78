"""Calls Meta's Graph API for ads, one call at a time, and handles its errors and limits
(docs/facts/meta.md, "Insights" and "Rate limits").

    GraphError
    ├── GraphRefused      token, permission or account: an operator has to fix it
    ├── Throttled         Meta asks to wait for `after_s`
    ├── TooMuch           too many rows for one answer: ask for a report run
    ├── Away              the API does not answer now: try again later
    └── GraphCallStopped  the caller was asked to stop
"""

import hmac
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import requests

TIMEOUT_S: Final = (5.0, 60.0)
"""To connect, and between two bytes of an answer."""
TRIES: Final = 3
TRY_AGAIN_S: Final = (1.0, 4.0)
SLOW_FROM_PERCENT: Final = 75.0
"""Of the limit used up; from here on calls pause, and from 95 on they stop for a while."""
STOP_FROM_PERCENT: Final = 95.0
LONGEST_PAUSE_S: Final = 60.0
STOPPED_FOR_S: Final = 300.0
"""Usage decays over 300 s."""
PAGE: Final = 500

_THROTTLED: Final = frozenset({4, 17, 32, 613, 80000, 80003, 80004})
_TRANSIENT: Final = frozenset({1, 2})
_TOO_MUCH_SUBCODES: Final = frozenset({99, 1504033, 1487534})

Json = dict[str, Any]


class GraphError(Exception):
    """Base class of errors of the Graph API. Messages have Meta's codes and none of its texts,
    which may quote what was sent."""


class GraphRefused(GraphError):
    """Token, permission or account has to be fixed; the message says which."""


class Throttled(GraphError):
    """Meta asks to call less often."""

    def __init__(self, message: str, after_s: float) -> None:
        super().__init__(message)
        self.after_s = after_s


class TooMuch(GraphError):
    """Meta refuses so many rows in one answer."""


class Away(GraphError):
    """The API does not answer now, or not as Meta does."""


class GraphCallStopped(GraphError):
    """The caller was asked to stop while waiting."""


@dataclass(frozen=True, slots=True)
class GraphAccess:
    """How calls are made."""

    token: str = field(repr=False)
    app_secret: str | None = field(default=None, repr=False)
    url: str = "https://graph.facebook.com"
    version: str = "v27.0"


_ONE_CALL: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
"""By ad account: parallel calls on one account end in storms of code 4/1504022."""


class Graph:
    """Calls about one ad account. Blocks; for one thread."""

    def __init__(
        self,
        access: GraphAccess,
        account_id: str,
        wait: Callable[[float], bool],
        session: requests.Session | None = None,
        tries: int = TRIES,
    ) -> None:
        """`wait` waits for so many seconds and says whether to stop instead of going on."""
        self._access, self._wait = access, wait
        self.account = f"act_{account_id.removeprefix('act_')}"
        self._session = session or requests.Session()
        self._pause_s, self._tries = 0.0, tries

    def get(self, path: str, **parameters: str) -> Json:
        """One answer. Raises GraphError."""
        return self._call("GET", path, parameters)

    def post(self, path: str, **parameters: str) -> Json:
        """One answer. Raises GraphError."""
        return self._call("POST", path, parameters)

    def rows(self, path: str, **parameters: str) -> Iterator[Json]:
        """Every row of a list, page by page. Raises GraphError.

        `paging.next` holds the token, so pages go by their cursor.
        """
        after: str | None = None
        while True:
            asked = {**parameters, "limit": str(PAGE), **({"after": after} if after else {})}
            answer = self.get(path, **asked)
            yield from answer.get("data") or ()
            paging = answer.get("paging") or {}
            after = (paging.get("cursors") or {}).get("after") if paging.get("next") else None
            if not after:
                return

    def wait(self, seconds: float) -> None:
        """Raises Stopped where the caller was asked to stop meanwhile."""
        if self._wait(seconds):
            raise GraphCallStopped("asked to stop")

    def _call(self, method: str, path: str, parameters: Mapping[str, str]) -> Json:
        # Not stamina: its waits cannot be ended by a process that stops.
        for attempt in range(self._tries):
            try:
                return self._once(method, path, parameters)
            except Away:
                if attempt == self._tries - 1:
                    raise
                self.wait(TRY_AGAIN_S[attempt])
        raise AssertionError("unreachable")

    def _once(self, method: str, path: str, parameters: Mapping[str, str]) -> Json:
        if self._pause_s:
            self.wait(self._pause_s)
        access = self._access
        sent = dict(parameters)
        if access.app_secret:
            key, token = access.app_secret.encode(), access.token.encode()
            sent["appsecret_proof"] = hmac.digest(key, token, "sha256").hex()
        with _ONE_CALL[self.account]:
            try:
                answer = self._session.request(
                    method,
                    f"{access.url.rstrip('/')}/{access.version}/{path}",
                    params=sent if method == "GET" else None,
                    data=sent if method == "POST" else None,
                    headers={"Authorization": f"Bearer {access.token}"},
                    timeout=TIMEOUT_S,
                    allow_redirects=False,
                )
            except requests.RequestException as error:
                raise Away(f"{access.url} cannot be reached ({type(error).__name__})") from None
        used, regain_s = usage(answer.headers)
        self._pause_s = pause_s(used)
        body = _object(answer.content)
        if answer.status_code == 200 and body is not None and "error" not in body:
            if used >= STOP_FROM_PERCENT:
                self._pause_s = LONGEST_PAUSE_S
            return body
        raise _error(answer.status_code, body, regain_s, self.account)


def usage(headers: Mapping[str, str]) -> tuple[float, float]:
    """How much of the limits is used up, percent, and in how many seconds Meta wants calls again
    (0 where it does not say)."""
    used, regain_s = 0.0, 0.0
    throttle = _object(headers.get("X-FB-Ads-Insights-Throttle", "").encode()) or {}
    for name in ("app_id_util_pct", "acc_id_util_pct"):
        used = max(used, _number(throttle.get(name)))
    cases = _object(headers.get("X-Business-Use-Case-Usage", "").encode()) or {}
    for entries in cases.values():
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict):
                shares = (entry.get(name) for name in ("call_count", "total_cputime", "total_time"))
                used = max(used, *map(_number, shares))
                minutes = _number(entry.get("estimated_time_to_regain_access"))
                regain_s = max(regain_s, 60 * minutes)
    return used, regain_s


def pause_s(used_percent: float) -> float:
    """Before the next call: nothing below 75 %, then longer up to a minute at 95 %."""
    above = used_percent - SLOW_FROM_PERCENT
    share = above / (STOP_FROM_PERCENT - SLOW_FROM_PERCENT)
    return min(LONGEST_PAUSE_S, max(0.0, share * LONGEST_PAUSE_S))


def _error(status: int, body: Json | None, regain_s: float, account: str) -> GraphError:
    error = (body or {}).get("error")
    if not isinstance(error, dict):
        return Away(f"Meta answers with HTTP {status} and no error of its own")
    code, subcode = error.get("code"), error.get("error_subcode")
    codes = f"(code {code}" + (f", subcode {subcode})" if subcode else ")")
    if subcode in _TOO_MUCH_SUBCODES:
        return TooMuch(f"Meta refuses so many rows in one answer {codes}")
    if code in _THROTTLED:
        return Throttled(f"Meta asks to call less often {codes}", max(regain_s, STOPPED_FOR_S))
    if code in (190, 102, 104):
        return GraphRefused(
            f"Meta does not take the access token {codes}: make a new one with ads_read and set"
            " META_ADS_TOKEN"
        )
    if code in (10, 200, 294) or (code == 100 and subcode == 33):
        return GraphRefused(
            f"the token may not read {account} {codes}: check META_AD_ACCOUNT_ID, and give the"
            " token's system user the ad account with ads_read"
        )
    if code in _TRANSIENT or status >= 500 or error.get("is_transient") is True:
        return Away(f"Meta cannot answer now {codes}")
    return GraphRefused(f"Meta refuses the question {codes}: check META_GRAPH_VERSION, or upgrade")


def _object(content: bytes) -> Json | None:
    try:
        value = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _number(value: object) -> float:
    try:
        return float(value) if isinstance(value, int | float | str) else 0.0
    except ValueError:
        return 0.0
