"""The processor of the browser pixel's posts: keeps their facts for a while and completes sales.
Its rows are bounded by age and by `MOST_UNKNOWN` per shop."""

import time
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from destinations.browser.completing import Completers, complete
from destinations.browser.facts import (
    FACTS,
    HOUR_MS,
    SHOPS,
    BrowserFacts,
    BrowserShopRow,
    FactRow,
    decode,
    folded,
    of_a_sale,
)
from processors.engine.processor import in_shop
from processors.privacy.late import redacted_tokens
from processors.shopify.tolerance import Rejected, text
from stream.record import Entry
from stream.store.contract import Key, Transaction

NAME: Final = "browser"
SOURCE: Final = "pixel"
MOST_UNKNOWN: Final = 10_000
SWEEP_S: Final = 5.0
"""How often facts of settled sales are looked for, and the bound is kept."""


class Post(NamedTuple):
    """What one post reported."""

    shop: str
    token: str
    seen_ms: int
    facts: BrowserFacts


class Browser:
    """A `processors.engine.processor.Processor` of the topic `checkouts`."""

    name = NAME
    topic = "checkouts"

    def __init__(self, completers: Completers, most_unknown: int = MOST_UNKNOWN) -> None:
        self._completers, self._most = completers, most_unknown
        self._shops = {shop for shop, _ in completers}
        self._swept_s = -SWEEP_S

    def decode(self, entry: Entry) -> Post | None:
        """A post of a shop that has an account. Raises Rejected."""
        headers = entry.record.headers
        if headers.get("source") != SOURCE or headers.get("shop") not in self._shops:
            return None
        try:
            facts = decode(entry.record.body)
            token = text(msgspec.json.decode(entry.record.body).get("checkout_token"))
        except (ValueError, AttributeError):
            raise Rejected("malformed_pixel_post") from None
        if token is None:
            raise Rejected("no_checkout_token")
        return Post(headers["shop"], token, entry.record.time_ms, facts)

    def apply(self, transaction: Transaction, events: Sequence[Post], now_ms: int) -> None:
        """Fold posts into facts, and the facts into events that wait."""
        redacted = redacted_tokens(transaction, {(each.shop, each.token) for each in events})
        events = [each for each in events if (each.shop, each.token) not in redacted]
        if not events:
            return
        self._note_posts(transaction, {event.shop for event in events}, now_ms)
        by_key: dict[Key, list[Post]] = {}
        for event in events:
            by_key.setdefault((event.shop, event.token), []).append(event)
        rows = dict(transaction.load(FACTS, by_key))
        for key, posts in by_key.items():
            row = rows.get(key)
            for post in posts:
                row = folded(row, key, post.facts, post.seen_ms)
            assert row is not None  # noqa: S101 - every key has a post
            rows[key] = row
        sales = complete(transaction, self._completers, list(rows.values()), now_ms)
        for key in sales:
            rows[key] = of_a_sale(rows[key], rows[key].seen_ms)
        transaction.save(FACTS, rows.values())

    def tick(self, transaction: Transaction, now_ms: int, shop: str | None = None) -> None:
        """Forget what is over."""
        now_s = time.monotonic()
        sweeps = shop is not None or now_s - self._swept_s >= SWEEP_S
        if sweeps:
            self._note_matches(transaction, now_ms, shop)  # First: shops are locked before facts.
        here, of_shop = in_shop(shop)
        transaction.execute(
            f"DELETE FROM browser_fact WHERE expires_ms <= :now{here}", now=now_ms, **of_shop
        )
        if not sweeps:
            return
        self._swept_s = now_s
        # The sale is sent, or forbidden for good.
        transaction.execute(
            "DELETE FROM browser_fact WHERE sale = 1 AND NOT EXISTS (SELECT 1 FROM outbox o"
            " WHERE o.shop = browser_fact.shop AND o.checkout_token = browser_fact.token"
            f" AND o.checkout_token <> ''){in_shop(shop, 'browser_fact.shop')[0]}",
            **of_shop,
        )
        self._bound(transaction, shop)

    def _note_posts(self, transaction: Transaction, shops: set[str], now_ms: int) -> None:
        """Lock the shops exclusively (`ShopRow`); note that posts came, at most once an hour."""
        found = transaction.load(SHOPS, [(shop,) for shop in shops])
        rows = [found.get((shop,), BrowserShopRow(shop)) for shop in sorted(shops)]
        late = [row._replace(seen_ms=now_ms) for row in rows if now_ms - row.seen_ms >= HOUR_MS]
        if late:
            transaction.save(SHOPS, late)

    def _note_matches(self, transaction: Transaction, now_ms: int, shop: str | None) -> None:
        """Note which shops have the pixel, at most once an hour: facts of theirs met a sale."""
        here, of_shop = in_shop(shop)
        shown = transaction.query(
            f"SELECT DISTINCT shop FROM browser_fact WHERE sale = 1{here}", **of_shop
        )
        if not shown:
            return
        found = transaction.load(SHOPS, [(row.shop,) for row in shown])
        late = [
            row._replace(shown_ms=now_ms)
            for row in found.values()
            if now_ms - row.shown_ms >= HOUR_MS
        ]
        if late:
            transaction.save(SHOPS, late)

    def _bound(self, transaction: Transaction, shop: str | None) -> None:
        """Of tokens without a sale keep the newest of each shop."""
        here, of_shop = in_shop(shop)
        full = transaction.query(
            f"SELECT shop FROM browser_fact WHERE sale = 0{here}"
            " GROUP BY shop HAVING COUNT(*) > :most",
            most=self._most,
            **of_shop,
        )
        for row in full:
            transaction.execute(
                "DELETE FROM browser_fact WHERE shop = :shop AND sale = 0 AND seen_ms <= ("
                " SELECT seen_ms FROM browser_fact WHERE shop = :shop AND sale = 0"
                " ORDER BY seen_ms DESC LIMIT 1 OFFSET :most)",
                shop=row.shop,
                most=self._most,
            )


def known_facts(
    transaction: Transaction, keys: Sequence[Key], received_ms: int
) -> dict[Key, FactRow]:
    """The facts of these (shop, token), marked as a sale's that was received then."""
    found = transaction.load(FACTS, keys) if keys else {}
    marked = {key: of_a_sale(row, received_ms) for key, row in found.items()}
    changed = [row for key, row in marked.items() if row.sale != found[key].sale]
    if changed:
        transaction.save(FACTS, changed)
    return dict(marked)
