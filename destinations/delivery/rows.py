"""The outbox's rows and the cells they count in. A row is ledger, queue entry, dead letter and an
order's status at once.

    skipped, no_consent ──> pending ──> sending ──> sent
                               ^  \\         │ ├────> dead (a user may send it back to pending)
                               │   └──> expired, skipped (cancelled before it was sent)
                               └── maybe_accepted <── (no answer, or the sender died while sending)
    too_old

A later delivery of the order decides anew only on `skipped`, `no_consent` and `pending`. A row that
may have reached Meta keeps its event id and payload, so that Meta can deduplicate
(docs/facts/meta.md, "Deduplication"). A later delivery can only forbid it (cancelled, deleted,
consent withdrawn); while it is `sending`, the veto waits for the result.
"""

import math
from typing import NamedTuple

from processors.engine.processor import Projection
from stream.store.contract import Cells, Entities, Key

PENDING, SENDING, SENT, MAYBE_ACCEPTED, DEAD = (
    "pending",
    "sending",
    "sent",
    "maybe_accepted",
    "dead",
)
EXPIRED, TOO_OLD, NO_CONSENT, SKIPPED = "expired", "too_old", "no_consent", "skipped"
OUTCOMES = (PENDING, SENDING, SENT, MAYBE_ACCEPTED, DEAD, EXPIRED, TOO_OLD, NO_CONSENT, SKIPPED)
OPEN = frozenset({SKIPPED, NO_CONSENT, PENDING})
"""What a later delivery of the order may still change."""
HELD = frozenset({SENDING, MAYBE_ACCEPTED, DEAD})
"""What a later delivery of the order may only forbid."""
FINAL = frozenset({SENT, DEAD, EXPIRED, TOO_OLD, NO_CONSENT, SKIPPED})
LAST_US = (1 << 63) - 1
"""`updated_us` of a deleted order: no delivery is newer."""
PREDICTED = "predicted rejection "
"""How the reason begins where Meta would have refused the event, followed by the subcode."""
BUCKETS_PER_OCTAVE = 8
"""Latency buckets grow by 2 ** (1/8): percentiles are right to 9 %, before interpolation."""


class OutboxRow(NamedTuple):
    """An event for a pixel. No personal data but hashes, IP address and user agent in `payload`, which is removed once it is final."""

    shop: str
    pixel_id: str
    event_name: str
    event_id: str
    order_id: str
    updated_us: int
    """With `triggered` and `digest` the version of the order that was last looked at."""
    triggered: str
    digest: str
    outcome: str
    reason: str
    """In words; "" where there is nothing to say."""
    payload: bytes = b""
    """The event as JSON; b"" where nothing is to be sent (any more)."""
    match_keys: str = ""
    """Keys of `user_data`, joined by commas."""
    event_time_s: int = 0
    received_ms: int = 0
    """When the delivery came that made it pending (or, before that, the newest one)."""
    sent_ms: int = 0
    """When the request was put on the wire that Meta took it from; 0 before."""
    due_ms: int | None = None
    """Pending: not before. Sending: the end of the sender's lease. None: nothing more is to be done."""
    expires_ms: int | None = None
    """When it stops being worth sending; for a dead row, when its payload goes."""
    ambiguous_ms: int | None = None
    """The first attempt of which nobody knows whether Meta took it."""
    claimed_by: str = ""
    tries: int = 0
    """Failures in a row that a retry may cure: how far the backoff is."""
    attempts: str = ""
    """JSON objects, one per line."""
    veto: str = ""
    """Sending: `skipped` or `no_consent` where a later delivery said so meanwhile, with its `reason`; sent: where that came too late."""


class PixelRow(NamedTuple):
    """What all senders must know of a destination."""

    shop: str
    pixel_id: str
    paused_since_ms: int | None = None
    paused_class: str = ""
    paused_code: str = ""
    paused_message: str = ""
    next_probe_ms: int = 0
    probes: int = 0
    throttled_until_ms: int = 0
    test_since_ms: int = 0
    test_seen_ms: int = 0
    """When a test event code was in use last."""
    quality: str = ""
    """What `dataset_quality` said last, as JSON."""
    quality_ms: int = 0


class ClickRow(NamedTuple):
    """When a click id was first seen; `click` is a digest of it."""

    shop: str
    click: str
    seen_ms: int


MATCH_KEYS = (
    "em",
    "ph",
    "fn",
    "ln",
    "ct",
    "st",
    "zp",
    "country",
    "external_id",
    "client_ip_address",
    "client_user_agent",
    "fbc",
    "fbp",
)

OUTBOX = Entities("capi_outbox", OutboxRow, 4)
PIXELS = Entities("capi_pixel", PixelRow, 2)
CLICKS = Entities("capi_click", ClickRow, 2)
CELLS = Cells("capi_cell", ("shop", "pixel_id", "kind", "name"), ("events",))
"""kind: `outcome`, `match_key` (name "" counts all events that were built), `latency` (name: bucket), `predicted` (name: subcode)."""


def latency_bucket(ms: int) -> str:
    """The histogram bucket of a latency; bucket b holds 2**(b/8) <= ms < 2**((b+1)/8)."""
    return str(math.floor(math.log2(max(ms, 1)) * BUCKETS_PER_OCTAVE))


def cells(row: OutboxRow) -> Projection:
    """In which cells a row counts. `aggregate == sum(cells(row) for every row)`, at every moment."""
    shop, pixel = row.shop, row.pixel_id
    counted: list[Key] = [(shop, pixel, "outcome", row.outcome)]
    if row.match_keys:
        counted.append((shop, pixel, "match_key", ""))
        counted += [(shop, pixel, "match_key", name) for name in row.match_keys.split(",")]
    if row.sent_ms:
        counted.append((shop, pixel, "latency", latency_bucket(row.sent_ms - row.received_ms)))
    if row.reason.startswith(PREDICTED):
        counted.append((shop, pixel, "predicted", row.reason[len(PREDICTED) :].partition(":")[0]))
    return [(CELLS, key, (1,)) for key in counted]
