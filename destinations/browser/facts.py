"""What the browser's pixel reported about a checkout, by checkout token."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from stream.store.contract import Entities, Key

HOUR_MS: Final = 3_600_000
UNKNOWN_MS: Final = HOUR_MS
"""How long facts wait for a sale of their checkout."""
SALE_MS: Final = 8 * 24 * HOUR_MS
"""How long at most facts of a sale that is not settled are kept: no event is sent later."""
SHOWN_MS: Final = 7 * 24 * HOUR_MS
"""How long after its last match with a sale a shop counts as having the pixel."""
MARKETING, SALE_OF_DATA = "marketing", "sale_of_data"


class BrowserFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """As `ingest/pixel/post.py` keeps them."""

    fbp: str | None = None
    fbc: str | None = None
    user_agent: str | None = None
    clicks: Mapping[str, str] = {}
    """Click ids by the name of their URL parameter."""
    clicked_ms: int | None = None
    event_id: str | None = None
    consent: Mapping[str, bool] = {}
    """By purpose of Shopify's Customer Privacy API; what is not there is not known."""

    def refuses(self, purpose: str) -> bool:
        """Whether the visitor said no."""
        return self.consent.get(purpose) is False

    def allows(self, purpose: str) -> bool:
        """Whether the visitor said yes."""
        return self.consent.get(purpose) is True


class FactRow(NamedTuple):
    """Columns of `browser_fact`. Facts of a token without a sale are deleted an hour after the last
    post; those of a sale once its event no longer needs them."""

    shop: str
    token: str
    """The checkout's, as the order's `checkout_token`."""
    seen_ms: int
    """When the last post came."""
    expires_ms: int
    sale: int
    """1 where a sale of this checkout was still to be sent when the facts met it."""
    facts: bytes
    """`Facts` as JSON: personal data."""


class BrowserShopRow(NamedTuple):
    """Columns of `browser_shop`. Readers of a shop's facts lock its row shared, writers
    exclusively, so that a sale and its facts never miss each other."""

    shop: str
    seen_ms: int = 0
    """When a post came last, to the hour; 0 for never."""
    shown_ms: int = 0
    """When a post met a sale last, to the hour."""


FACTS: Final = Entities("browser_fact", FactRow, 2)
SHOPS: Final = Entities("browser_shop", BrowserShopRow, 1)
_decoder = msgspec.json.Decoder(BrowserFacts)
_encoder = msgspec.json.Encoder(order="deterministic")


def facts_of(row: FactRow) -> BrowserFacts:
    """What the row holds."""
    return _decoder.decode(row.facts)


def decode(body: bytes) -> BrowserFacts:
    """The facts of a post. Raises msgspec.DecodeError."""
    return _decoder.decode(body)


def merged(old: BrowserFacts, new: BrowserFacts) -> BrowserFacts:
    """`old` with a later post: the first post with a field decides it, of privacy choices the last.
    A refusal of marketing deletes everything but choices."""
    consent = {**old.consent, **new.consent}
    if consent.get(MARKETING) is False:
        return BrowserFacts(event_id=old.event_id or new.event_id, consent=consent)
    return BrowserFacts(
        fbp=old.fbp or new.fbp,
        fbc=old.fbc or new.fbc,
        user_agent=old.user_agent or new.user_agent,
        clicks={**new.clicks, **old.clicks},
        clicked_ms=old.clicked_ms or new.clicked_ms,
        event_id=old.event_id or new.event_id,
        consent=consent,
    )


def folded(row: FactRow | None, key: Key, posted: BrowserFacts, seen_ms: int) -> FactRow:
    """The row's next state."""
    shop, token = str(key[0]), str(key[1])
    if row is None:
        row = FactRow(shop, token, seen_ms, seen_ms + UNKNOWN_MS, 0, b"{}")
    return row._replace(
        seen_ms=max(row.seen_ms, seen_ms),
        expires_ms=max(row.expires_ms, seen_ms + UNKNOWN_MS),
        facts=_encoder.encode(merged(facts_of(row), posted)),
    )


def of_a_sale(row: FactRow, received_ms: int) -> FactRow:
    """The row once a sale needs it that was received then."""
    return row._replace(sale=1, expires_ms=max(row.expires_ms, received_ms + SALE_MS))
