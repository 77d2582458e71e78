"""The state of Meta's accounts beyond what all destinations have: use of a test event code, match
quality."""

from typing import NamedTuple

from destinations.delivery.protocol import Rule
from destinations.meta.settings import CapiSettings
from stream.store.contract import Entities, Transaction

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
TEST_BREAK_MS = 24 * HOUR_MS
"""So long without a test event code ends test mode; after that it may begin anew."""
TEST_MODE = "test_event_code"
"""Code of the rule that holds an account whose test event code has been in use for too long."""


class MetaAccountRow(NamedTuple):
    """Columns of `meta_account`."""

    shop: str
    destination: str
    test_since_ms: int = 0
    test_seen_ms: int = 0
    """When a test event code was in use last."""
    quality: str = ""
    """What `dataset_quality` said last, as JSON."""
    quality_ms: int = 0


META_ACCOUNTS = Entities("meta_account", MetaAccountRow, 2)


def load(transaction: Transaction, shop: str, destination: str) -> MetaAccountRow:
    """The account's row, a new one if there is none."""
    key = (shop, destination)
    return transaction.load(META_ACCOUNTS, [key]).get(key) or MetaAccountRow(*key)


def test_mode(
    transaction: Transaction, destination: str, settings: CapiSettings, now_ms: int
) -> Rule | None:
    """Record that a test event code is in use; returns the rule if it has been in use for too long.

    A test event code may be used for `test_hours`, then the account is paused until there is none,
    since Meta counts test events as real ones. Neither another code nor a break of less than a day
    extends the hours.
    """
    if not settings.test_event_code:
        return None
    row = before = load(transaction, settings.shop, destination)
    if now_ms - row.test_seen_ms >= TEST_BREAK_MS:
        row = row._replace(test_since_ms=now_ms)
    if now_ms - row.test_seen_ms >= MINUTE_MS:
        row = row._replace(test_seen_ms=now_ms)
    if row != before:
        transaction.save(META_ACCOUNTS, [row])
    if now_ms - row.test_since_ms < settings.test_hours * HOUR_MS:
        return None
    return Rule(
        TEST_MODE,
        f"test event codes have been in use for {settings.test_hours} hours, and Meta counts test "
        "events as real ones: remove META_TEST_EVENT_CODE and start again; nothing is lost, the "
        "events wait",
    )
