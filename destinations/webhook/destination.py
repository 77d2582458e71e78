"""A receiver of Standard Webhooks as a destination: one signed request per event
(docs/facts/destinations.md, "Standard Webhooks")."""

from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import blake2b

from destinations.delivery.account import Account
from destinations.delivery.backoff import Schedule
from destinations.delivery.protocol import Request, RequestLimits, Rule
from destinations.delivery.rows import OutboxRow
from destinations.delivery.transport import HttpAnswer
from destinations.delivery.verdict import ErrorClass, Verdict
from destinations.webhook.settings import WebhookSettings
from destinations.webhook.signing import signed_headers
from stream.store.contract import Transaction

KIND = "webhook"
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
SCHEDULE = Schedule(
    (
        5_000,
        5 * MINUTE_MS,
        30 * MINUTE_MS,
        2 * HOUR_MS,
        5 * HOUR_MS,
        10 * HOUR_MS,
        14 * HOUR_MS,
        20 * HOUR_MS,
        24 * HOUR_MS,
    ),
    jitter=0.1,
    ends=True,
)
"""| attempt that failed | wait before the next | since the first |
|---|---|---|
| 1 | 5 s | 5 s |
| 2 | 5 min | 5 min |
| 3 | 30 min | 35 min |
| 4 | 2 h | 2.6 h |
| 5 | 5 h | 7.6 h |
| 6 | 10 h | 17.6 h |
| 7 | 14 h | 31.6 h |
| 8 | 20 h | 51.6 h |
| 9 | 24 h | 75.6 h |
| 10 | none: dead | |

Waits are up to a tenth shorter, by chance.
"""
GONE = "the receiver answered 410, it wants no more: POST …/retry tries it again"


class WebhookDestination:
    """A `destinations.delivery.protocol.Destination`."""

    kind = KIND
    limits = RequestLimits(events=1, in_flight=8, spacing_ms=0, timeout_s=15.0)
    schedule = SCHEDULE
    repeat_ms: int | None = None
    """A receiver knows a repeat by its `webhook-id`, however late it comes."""
    may_hold = False

    def __init__(self, account: Account) -> None:
        self.shop, self.name = account.shop, account.name
        self._settings: WebhookSettings = account.settings
        self.account = self._settings.host
        self.public_only = not self._settings.allow_private_addresses

    def request(self, rows: Sequence[OutboxRow], now_ms: int) -> Request:
        """One event, signed for this attempt."""
        (row,) = rows
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "orderwire",
            **signed_headers(self._settings.secrets, message_id(row), now_ms // 1000, row.payload),
        }
        return Request("POST", self._settings.url, headers, row.payload)

    def judge(self, answer: HttpAnswer | None, rows: Sequence[OutboxRow]) -> Verdict:
        """2xx is success and all else is not, redirects too; 410 disables."""
        if answer is None:
            return Verdict(ErrorClass.TRANSIENT, ambiguous=True)
        status = answer.status
        if 200 <= status < 300:
            return Verdict(ErrorClass.SENT, http_status=status)
        if status == 410:
            return Verdict(ErrorClass.DISABLED, http_status=status, code=410, message=GONE)
        wait_ms = _retry_after_ms(answer)
        throttled = status == 429 or (status == 503 and wait_ms is not None)
        return Verdict(
            ErrorClass.THROTTLE if throttled else ErrorClass.TRANSIENT,
            http_status=status,
            code=status,
            message=f"HTTP {status}",
            # A gateway that gave up waiting: what happened behind it is not known.
            ambiguous=status in (502, 504),
            wait_ms=wait_ms if throttled else None,
        )

    def repaired(self, row: OutboxRow, verdict: Verdict) -> OutboxRow | None:
        """Does nothing: no event can be repaired."""
        return None

    def paused_by(self, transaction: Transaction, now_ms: int) -> Rule | None:
        """None: there is no rule of its own."""
        return None


def message_id(row: OutboxRow) -> str:
    """The `webhook-id`: equal for every attempt of an event, and unique to it."""
    key = "\0".join((row.shop, row.destination, row.event_name, row.event_id))
    return "msg_" + blake2b(key.encode(), digest_size=16).hexdigest()


def _retry_after_ms(answer: HttpAnswer) -> int | None:
    """`Retry-After` in seconds or as a date after the answer's own; None without one."""
    headers = {name.lower(): value for name, value in answer.headers.items()}
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit() and len(value) < 10:
        return int(value) * 1000
    try:
        until = parsedate_to_datetime(value)
        since = parsedate_to_datetime(headers["date"])
    except (ValueError, KeyError):
        return None
    waits = (_aware(until) - _aware(since)).total_seconds()
    return round(waits * 1000) if waits > 0 else None


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
