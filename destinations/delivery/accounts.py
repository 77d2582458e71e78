"""The state of a destination that all its senders share: paused, throttled, in test mode. Functions on a transaction.

A pixel pauses when Meta refuses its token, its grant or its id. Nothing is lost meanwhile: rows stay pending. One real row is sent as a
probe, first after 15 s, then ever more seldom; when Meta takes it (or finds fault with that row alone), sending goes on by itself.
A throttle is kept here too, so that neither another sender nor a restart asks sooner than Meta said.
"""

from destinations.delivery.backoff import THROTTLE_TOLD_CAP_MS, probe_ms
from destinations.delivery.ledger import register
from destinations.delivery.rows import PIXELS, PixelRow
from destinations.meta.errors import GraphVerdict, scrubbed
from destinations.meta.settings import CapiSettings
from stream.store.contract import Transaction

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
TEST_BREAK_MS = 24 * HOUR_MS
"""So long without a test event code ends test mode; after that it may begin anew."""
TEST_MODE = "test_event_code"
"""`paused_code` of a pixel whose test event code has been in use for too long."""


def pause(
    transaction: Transaction,
    settings: CapiSettings,
    verdict: GraphVerdict,
    now_ms: int,
    *,
    probe: bool,
) -> PixelRow:
    """Stop sending, say why, and plan the next probe; one that failed (`probe`) puts off the next for longer.

    Requests that were in flight beside the first that was refused are no probes: they change nothing.
    """
    row = register(transaction, settings.shop, settings.pixel_id)
    if row.paused_since_ms is not None and not probe:
        return row
    row = row._replace(
        paused_since_ms=row.paused_since_ms if row.paused_since_ms is not None else now_ms,
        paused_class=verdict.kind.value,
        paused_code="" if verdict.code is None else str(verdict.code),
        paused_message=scrubbed(verdict.message, settings.access_token, settings.app_secret),
        next_probe_ms=now_ms + probe_ms(row.probes),
        probes=row.probes + 1,
    )
    transaction.save(PIXELS, [row])
    return row


def resume(transaction: Transaction, shop: str, pixel_id: str) -> PixelRow:
    """Sending works (again)."""
    row = register(transaction, shop, pixel_id)
    row = row._replace(
        paused_since_ms=None,
        paused_class="",
        paused_code="",
        paused_message="",
        next_probe_ms=0,
        probes=0,
    )
    transaction.save(PIXELS, [row])
    return row


def take_probe(transaction: Transaction, shop: str, pixel_id: str, now_ms: int) -> bool:
    """Whether this sender, of all, may try the paused pixel now."""
    return (
        transaction.execute(
            "UPDATE capi_pixel SET next_probe_ms = :then WHERE shop = :shop AND pixel_id = :pixel_id"
            " AND paused_since_ms IS NOT NULL AND next_probe_ms <= :now",
            then=now_ms + probe_ms(0),
            shop=shop,
            pixel_id=pixel_id,
            now=now_ms,
        )
        == 1
    )


def throttle(
    transaction: Transaction, shop: str, pixel_id: str, wait_ms: int, now_ms: int
) -> PixelRow:
    """Send nothing until Meta's time is over; never longer than a day without asking again."""
    row = register(transaction, shop, pixel_id)
    until = now_ms + min(wait_ms, THROTTLE_TOLD_CAP_MS)
    row = row._replace(throttled_until_ms=max(row.throttled_until_ms, until))
    transaction.save(PIXELS, [row])
    return row


def guard_test_mode(transaction: Transaction, settings: CapiSettings, now_ms: int) -> PixelRow:
    """Note since when test event codes are in use; pause once that is too long, resume once there is none.

    Another code changes nothing, nor does a break of less than a day: Meta counts the events of every code.
    """
    row = register(transaction, settings.shop, settings.pixel_id)
    before = row
    if settings.test_event_code:
        if now_ms - row.test_seen_ms >= TEST_BREAK_MS:
            row = row._replace(test_since_ms=now_ms)
        if now_ms - row.test_seen_ms >= MINUTE_MS:
            row = row._replace(test_seen_ms=now_ms)
    elif row.paused_code == TEST_MODE:
        row = row._replace(
            paused_since_ms=None,
            paused_class="",
            paused_code="",
            paused_message="",
            next_probe_ms=0,
            probes=0,
        )
    used_up = now_ms - row.test_since_ms >= settings.test_hours * HOUR_MS
    if settings.test_event_code and used_up and row.paused_since_ms is None:
        message = (
            f"test event codes have been in use for {settings.test_hours} hours, and Meta counts test events as real ones: "
            "remove META_TEST_EVENT_CODE and start again; nothing is lost, the events wait"
        )
        row = row._replace(
            paused_since_ms=now_ms,
            paused_class="configuration",
            paused_code=TEST_MODE,
            paused_message=message,
        )
    if row != before:
        transaction.save(PIXELS, [row])
    return row
