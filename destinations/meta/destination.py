"""A Meta pixel as a destination: one Graph API request per batch of events, one verdict."""

from collections.abc import Sequence

import orjson

from destinations.delivery.account import Account
from destinations.delivery.backoff import GROWING
from destinations.delivery.protocol import Request, RequestLimits, Rule
from destinations.delivery.rows import OutboxRow
from destinations.delivery.transport import HttpAnswer
from destinations.delivery.verdict import ErrorClass, Verdict
from destinations.meta.account import test_mode
from destinations.meta.errors import BAD_FBC, Action, GraphVerdict, classify, meaning, scrubbed
from destinations.meta.graph import events_body, events_url, headers
from destinations.meta.settings import CapiSettings
from stream.store.contract import Transaction

KIND = "meta"
REPEAT_MS = 48 * 3_600_000
"""Meta deduplicates for 48 hours after it first had the event (docs/facts/meta.md,
"Deduplication"); later, sending again may count twice."""


class MetaDestination:
    """A `destinations.delivery.protocol.Destination`."""

    kind = KIND
    limits = RequestLimits(events=1_000, in_flight=16, spacing_ms=20, timeout_s=10.0)
    """Meta takes no more events (docs/facts/meta.md, "Request"). Its advice is 1.5 s for one event;
    giving up early makes ambiguous rows, so a batch gets longer."""
    schedule = GROWING
    repeat_ms: int | None = REPEAT_MS
    public_only = False

    def __init__(self, account: Account) -> None:
        self.shop, self.name = account.shop, account.name
        self._settings: CapiSettings = account.settings
        self.account = self._settings.pixel_id
        self.may_hold = bool(self._settings.test_event_code)

    def request(self, rows: Sequence[OutboxRow], now_ms: int) -> Request:
        """One POST for the whole batch."""
        settings = self._settings
        body = events_body(settings, [row.payload for row in rows])
        return Request("POST", events_url(settings), headers(settings), body)

    def judge(self, answer: HttpAnswer | None, rows: Sequence[OutboxRow]) -> Verdict:
        """One verdict per batch: Graph takes or refuses it as a whole, or leaves it unknown."""
        if answer is None:
            return self._verdict(classify(None, {}, b""))
        found = classify(answer.status, answer.headers, answer.body)
        verdict = self._verdict(found)
        if verdict.kind is ErrorClass.SENT and found.received < len(rows):
            return Verdict(
                ErrorClass.TRANSIENT,
                http_status=verdict.http_status,
                ambiguous=len(rows) > 1,
                split=True,
                details=verdict.details,
                message=f"Meta received {found.received} of {len(rows)} events",
            )
        return verdict

    def repaired(self, row: OutboxRow, verdict: Verdict) -> OutboxRow | None:
        """The same event without its click id, if Meta calls that badly formatted."""
        if verdict.details.get("subcode") != BAD_FBC or "fbc" not in row.match_keys.split(","):
            return None
        event = orjson.loads(row.payload)
        event["user_data"].pop("fbc", None)
        keys = ",".join(key for key in row.match_keys.split(",") if key != "fbc")
        return row._replace(payload=orjson.dumps(event), match_keys=keys)

    def paused_by(self, transaction: Transaction, now_ms: int) -> Rule | None:
        """The limit on hours with a test event code."""
        return test_mode(transaction, self.name, self._settings, now_ms)

    def _verdict(self, found: GraphVerdict) -> Verdict:
        settings = self._settings
        details = {
            "code": found.code,
            "subcode": found.subcode,
            "fbtrace_id": found.fbtrace_id,
        }
        return Verdict(
            found.kind,
            http_status=found.http_status,
            code=found.code,
            reason=meaning(found) if found.kind is ErrorClass.PERMANENT else "",
            message=scrubbed(found.message, settings.access_token, settings.app_secret),
            ambiguous=found.ambiguous,
            wait_ms=found.wait_ms if found.action is Action.WAIT else None,
            details=details,
        )
