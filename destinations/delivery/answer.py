"""Answers of `GET /v1/capi` and `GET /v1/capi/orders/{id}`, and the work of `POST /v1/capi/retry`.

Counts come from cells, never from the outbox, so an answer costs the same with a thousand rows or
ten million.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from destinations.delivery.accounts import TEST_MODE
from destinations.delivery.rows import BUCKETS_PER_OCTAVE, CELLS, MATCH_KEYS, OUTCOMES
from destinations.meta.settings import DEFAULT_MAX_AGE_S
from stream.store.contract import Key, Reading, Transaction
from stream.times import instant


def percentile(buckets: Mapping[int, int], share: float) -> float | None:
    """The latency in milliseconds below which `share` (0 to 1) of the events lie; None without events.

    Bucket b holds 2**(b/8) up to 2**((b+1)/8); within it latencies are taken as spread evenly on the logarithm.
    """
    total = sum(buckets.values())
    wanted, below = share * total, 0
    for bucket in sorted(buckets):
        count = buckets[bucket]
        if count > 0 and below + count >= wanted:
            return round(math.exp2((bucket + (wanted - below) / count) / BUCKETS_PER_OCTAVE), 1)
        below += count
    return None


def _cells(reading: Reading, shop: str, pixel_id: str) -> dict[str, dict[str, int]]:
    counted: dict[str, dict[str, int]] = {
        "outcome": {},
        "match_key": {},
        "latency": {},
        "predicted": {},
    }
    sql = "SELECT kind, name, events FROM capi_cell WHERE shop = :shop AND pixel_id = :pixel_id"
    for kind, name, events in reading.query(sql, shop=shop, pixel_id=pixel_id):
        counted[kind][name] = events
    return counted


def _paused(pixel: Any, now_ms: int) -> tuple[str, dict[str, Any] | None]:
    """State and `paused` of a pixel's row; a throttle is told in the same shape."""
    if pixel is not None and pixel.paused_since_ms is not None:
        code = pixel.paused_code
        return "paused", {
            "since": instant(pixel.paused_since_ms),
            "class": pixel.paused_class,
            "code": int(code) if code.isdigit() else code or None,
            "message": pixel.paused_message,
            "next_probe_at": instant(pixel.next_probe_ms) if pixel.next_probe_ms else None,
        }
    if pixel is not None and pixel.throttled_until_ms > now_ms:
        until = instant(pixel.throttled_until_ms)
        return "throttled", {
            "since": None,
            "class": "throttle",
            "code": None,
            "message": "Meta asks to wait",
            "next_probe_at": until,
        }
    return "sending", None


def has_pixel(reading: Reading, shop: str, pixel_id: str) -> bool:
    """Whether the shop's events are or were for this pixel."""
    known = "SELECT 1 FROM capi_pixel WHERE {0} UNION ALL SELECT 1 FROM capi_cell WHERE {0} LIMIT 1"
    return bool(
        reading.query(
            known.format("shop = :shop AND pixel_id = :pixel_id"), shop=shop, pixel_id=pixel_id
        )
    )


def capi(reading: Reading, shop: str, pixel_id: str, now_ms: int) -> dict[str, Any]:
    """The state of one pixel (docs/api.md, "GET /v1/capi")."""
    counted = _cells(reading, shop, pixel_id)
    pixels = reading.query(
        "SELECT * FROM capi_pixel WHERE shop = :shop AND pixel_id = :pixel_id",
        shop=shop,
        pixel_id=pixel_id,
    )
    pixel = pixels[0] if pixels else None
    oldest = reading.query(
        "SELECT MIN(event_time_s) AS event_time_s FROM capi_outbox WHERE shop = :shop AND pixel_id = :pixel_id AND due_ms IS NOT NULL",
        shop=shop,
        pixel_id=pixel_id,
    )[0].event_time_s
    latency = {int(bucket): events for bucket, events in counted["latency"].items()}
    built = counted["match_key"].get("", 0)
    state, paused = _paused(pixel, now_ms)
    quality = (
        {**json.loads(pixel.quality), "as_of": instant(pixel.quality_ms)}
        if pixel is not None and pixel.quality
        else None
    )
    return {
        "pixel_id": pixel_id,
        "state": state,
        "paused": paused,
        "outcomes": {outcome: counted["outcome"].get(outcome, 0) for outcome in OUTCOMES},
        "latency_ms": {
            name: percentile(latency, share)
            for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
        },
        "oldest_unsent_s": None if oldest is None else max(now_ms // 1000 - oldest, 0),
        "oldest_unsent_limit_s": DEFAULT_MAX_AGE_S,
        "match_keys": {
            key: round(counted["match_key"].get(key, 0) / built, 4) if built else None
            for key in MATCH_KEYS
        },
        "predicted_rejections": {
            name: events for name, events in counted["predicted"].items() if events
        },
        "dataset_quality": quality,
    }


def capi_order(reading: Reading, shop: str, order_id: str) -> dict[str, Any] | None:
    """One order's delivery (docs/api.md, "GET /v1/capi/orders/{order_id}"); None for an order never
    seen. Of several rows (pixels) the last received."""
    rows = reading.query(
        "SELECT pixel_id, event_name, event_id, order_id, outcome, reason, match_keys, event_time_s, received_ms, sent_ms, due_ms, attempts"
        " FROM capi_outbox WHERE shop = :shop AND order_id = :order_id ORDER BY received_ms DESC LIMIT 1",
        shop=shop,
        order_id=order_id,
    )
    if not rows:
        return None
    row = rows[0]
    attempts = [json.loads(line) for line in row.attempts.splitlines()]
    return {
        "order_id": row.order_id,
        "pixel_id": row.pixel_id,
        "event_name": row.event_name,
        "event_id": row.event_id,
        "outcome": row.outcome,
        "reason": row.reason or None,
        "event_time": instant(row.event_time_s * 1000),
        "received_at": instant(row.received_ms),
        "sent_at": instant(row.sent_ms) if row.sent_ms else None,
        "next_attempt_at": instant(row.due_ms)
        if row.due_ms is not None and row.outcome in ("pending", "maybe_accepted")
        else None,
        "match_keys": row.match_keys.split(",") if row.match_keys else [],
        "attempts": [{"at": instant(attempt.pop("at_ms")), **attempt} for attempt in attempts],
    }


def retry(
    transaction: Transaction,
    shop: str,
    now_ms: int,
    *,
    order_ids: Sequence[str] | None = None,
    subcode: int | None = None,
) -> dict[str, int]:
    """Send again what can be: dead rows that still have their payload become pending, and a paused pixel is probed at once.

    Filters: some orders, one of Meta's subcodes. Answers `{"retried": rows, "probed": pixels}`.
    """
    where = "shop = :shop AND outcome = 'dead' AND expires_ms > :now"
    values: dict[str, Any] = {"shop": shop, "now": now_ms}
    if subcode is not None:
        where += " AND reason LIKE :subcode"
        values["subcode"] = f"%subcode {subcode},%"
    if order_ids is not None:
        names = {f"order_{i}": order_id for i, order_id in enumerate(dict.fromkeys(order_ids))}
        where += (
            f" AND order_id IN ({', '.join(f':{name}' for name in names)})"
            if names
            else " AND 1 = 0"
        )
        values |= names
    moved: Counter[Key] = Counter()
    pixels = [
        row[0]
        for row in transaction.query(
            f"SELECT DISTINCT pixel_id FROM capi_outbox WHERE {where} ORDER BY 1", **values
        )
    ]
    for pixel_id in pixels:
        for outcome, known in (
            ("pending", "ambiguous_ms IS NULL"),
            ("maybe_accepted", "ambiguous_ms IS NOT NULL"),
        ):
            count = transaction.execute(
                f"UPDATE capi_outbox SET outcome = '{outcome}', reason = '', due_ms = :now, tries = 0"
                f" WHERE {where} AND pixel_id = :pixel_id AND {known}",
                pixel_id=pixel_id,
                **values,
            )
            moved[shop, pixel_id, "outcome", "dead"] -= count
            moved[shop, pixel_id, "outcome", outcome] += count
    # Rows first, cells last, as the fold and the sender lock them: no deadlock with either.
    transaction.add(CELLS, {key: (count,) for key, count in moved.items()})
    probed = transaction.execute(
        f"UPDATE capi_pixel SET next_probe_ms = :now WHERE shop = :shop AND paused_since_ms IS NOT NULL AND paused_code <> '{TEST_MODE}'",
        now=now_ms,
        shop=shop,
    )
    return {"retried": sum(count for count in moved.values() if count > 0), "probed": probed}
