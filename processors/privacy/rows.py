"""Tables of redactions: requests and their progress, kept as evidence, and marks of late records.

    asked ──> found ──> stored ──> erased ──> closed
      │         │          │          └ records that arrive late are erased until `until_ms`
      │         │          └ the log's records are erased, once every processor has read them
      │         └ entities, outbox, facts and contacts are erased, page by page
      └ the person's orders and checkouts are looked up

Every step may be repeated after a kill: it skips what is erased already.
"""

from typing import Final, NamedTuple

from stream.store.contract import Entities

ASKED, FOUND, STORED, ERASED, CLOSED = "asked", "found", "stored", "erased", "closed"
CUSTOMER, SHOP, DATA_REQUEST, UNINSTALLED = "customer", "shop", "data_request", "uninstalled"
DAY_MS: Final = 86_400_000
WATCHED_MS: Final = 60 * DAY_MS
"""How long after a redaction its person's late records are erased: twice the longest retention."""


class RedactionRow(NamedTuple):
    """Columns of `redaction`. Kept for ever; without personal data from `stored` on."""

    shop: str
    id: str
    """The request's delivery id, or one of our own."""
    kind: str
    asked_ms: int
    state: str
    subject: str = ""
    """JSON of `processors.privacy.subject.Subject`; "" once the store holds nothing of it."""
    cursor: str = "{}"
    """JSON {topic: next offset of the embedded log to look at}."""
    counts: str = "{}"
    """JSON {what: how many}."""
    erased_ms: int = 0
    until_ms: int = 0


class RedactedMarkRow(NamedTuple):
    """Columns of `redacted_mark`: an anonymous hash by which a late record is recognised."""

    shop: str
    mark: str
    anonymous: str
    """The customer key that takes the person's place; "" where there is none."""
    asked_ms: int
    """What is made later is a new relationship, and stays."""
    until_ms: int


REDACTIONS: Final = Entities("redaction", RedactionRow, 2)
MARKS: Final = Entities("redacted_mark", RedactedMarkRow, 2)
