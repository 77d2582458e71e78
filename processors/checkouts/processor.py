"""The processor of checkouts and carts: folds each record into rows and every aggregate in one
transaction."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from processors.checkouts.fold import fold
from processors.checkouts.idle import BUCKET_MS
from processors.checkouts.known_buyers import settle_links
from processors.checkouts.link import LINKS
from processors.checkouts.row import CHECKOUTS, RULE, CheckoutRow
from processors.checkouts.state import EXPIRES_MS, KEPT_MS, settled
from processors.engine.daily_pass import DailyPass
from processors.engine.processor import Tick, in_shop
from processors.engine.projection import Change, Projection, Projector, ticks_of_projections
from processors.privacy.late import redacted_tokens
from processors.shopify.checkouts import Cart, CheckoutEvent, decode_checkout
from processors.shopify.orders import Order
from stream.record import Entry
from stream.store.contract import Entities, Key, Position, Row, Transaction

NAME: Final = "carts"
AFTER_MINUTES: Final = 60
PAGE: Final = 500
"""Rows that one step of a tick touches; a tick takes as many steps as there is work, up to PAGES.
"""
PAGES: Final = 20
REMOVE_EVERY_MS: Final = 60_000
"""Between two looks for old rows, which visit every shop, while nothing is folded."""
OLD_CHECKOUTS: Final = """
    WITH RECURSIVE shops (shop) AS (
        SELECT MIN(shop) FROM cart_checkout
        UNION ALL
        SELECT (SELECT MIN(c.shop) FROM cart_checkout c WHERE c.shop > shops.shop)
        FROM shops WHERE shops.shop IS NOT NULL
    )
    SELECT c.shop, c.token FROM shops CROSS JOIN cart_checkout c
    WHERE c.shop = shops.shop AND c.created_ms < :old{here} LIMIT :page
"""
"""Goes from shop to shop by the index on (shop, created_ms), which neither planner does by
itself."""


class Checkouts:
    """A `processors.engine.processor.Processor` of checkouts/* and carts/*.

    `follow` is what orders do to checkouts, in the transaction of the orders processor: an order
    reaches its own checkout by `checkout_token`, those of its cart by `cart_token` if it names no
    checkout, and its customer's others by that customer's link. A checkout copies its links, so its
    row depends on what came, never on the order of arrival. Rows are kept for 90 days from
    `created_at`, as in Shopify's admin (docs/facts/analytics.md, "Cart states"); those of customers
    stay.
    """

    name = NAME
    topic = "checkouts"

    def __init__(
        self,
        projections: Collection[Projection] = (),
        abandoned_after_minutes: int = AFTER_MINUTES,
    ) -> None:
        """`abandoned_after_minutes`: a checkout idle for so long is abandoned.

        A multiple of ten, since idleness is counted in steps of ten. After a change the `tick`
        settles existing rows again. Raises ValueError.
        """
        self._after_minutes = checked_minutes(abandoned_after_minutes)
        self._projections = tuple(projections)
        self._projector = Projector(self._projections)
        self._settling = DailyPass(settle_links)
        self._resettle = True
        self._ticked_ms: int | None = None
        self._removed_ms = -REMOVE_EVERY_MS
        """When old rows were last looked for, and all found."""
        self._removed_at: list[Position] = []
        """How far all processors were then: what they fold may be old already."""
        self._early = False

    def decode(self, entry: Entry) -> CheckoutEvent | None:
        """A checkout's or cart's event. Raises Rejected."""
        return decode_checkout(entry)

    def apply(self, transaction: Transaction, events: Sequence[CheckoutEvent], now_ms: int) -> None:
        """Fold `events` into checkouts and links, and their changes into every aggregate."""
        self._fold(transaction, _without_redacted(transaction, events), now_ms)

    def follow(self, transaction: Transaction, orders: Sequence[Order], now_ms: int) -> None:
        """Fold snapshots of orders likewise. Test orders complete nothing."""
        self._fold(transaction, [order for order in orders if not order.test], now_ms)

    def _fold(
        self,
        transaction: Transaction,
        events: Sequence[CheckoutEvent] | Sequence[Order],
        now_ms: int,
    ) -> None:
        if events:
            work = self._projector.begin(transaction, {event.shop for event in events})
            fold(transaction, work, events, now_ms, self._after_minutes)

    @property
    def ticks(self) -> Mapping[str, Tick]:
        """Of the rows, and of each projection: one that fails stops no other."""
        return {
            "rows": self._tick,
            "known buyers": self._settling,
            **ticks_of_projections(self._projections),
        }

    def tick(self, transaction: Transaction, now_ms: int, shop: str | None = None) -> None:
        """All `ticks`, one after the other."""
        for tick in self.ticks.values():
            tick(transaction, now_ms, shop)

    def _tick(self, transaction: Transaction, now_ms: int, shop: str | None) -> None:
        """Expire checkouts idle for 14 days, delete rows older than 90 days.

        After a start, settle rows that were settled by another `abandoned_after_minutes`, or by
        another version of the rule. Then, and where the clock went back, also those that were
        expired too early by a clock that was ahead.
        """
        edge = (now_ms - EXPIRES_MS) // BUCKET_MS
        here, of_shop = in_shop(shop)
        expired = (
            "SELECT shop, token FROM cart_checkout WHERE open_bucket >= 0"
            " AND (open_bucket < :edge OR (open_bucket = :edge AND last_ms <= :idle))"
            f"{here} LIMIT :page"
        )
        idle_ms = now_ms - EXPIRES_MS

        def resettle(keys: list[Key]) -> None:
            self._settle(transaction, keys, now_ms)

        _in_pages(
            lambda: transaction.query(expired, edge=edge, idle=idle_ms, page=PAGE, **of_shop),
            resettle,
        )
        positions = transaction.positions()
        again = not self._removed_ms <= now_ms < self._removed_ms + REMOVE_EVERY_MS
        if shop is not None or again or positions != self._removed_at:
            more = self._remove_old(transaction, shop, now_ms)
            if shop is None and not more:
                self._removed_ms, self._removed_at = now_ms, positions
        if shop is None:
            went_back = self._ticked_ms is None or now_ms < self._ticked_ms
            self._ticked_ms = now_ms
            if went_back:
                self._early = True
        if self._early:
            early = (
                "SELECT shop, token FROM cart_checkout"
                f" WHERE state = 'expired' AND last_ms > :idle{here} LIMIT :page"
            )
            more = _in_pages(
                lambda: transaction.query(early, idle=idle_ms, page=PAGE, **of_shop), resettle
            )
            self._early = more or shop is not None
        if self._resettle:
            others = (
                "SELECT shop, token FROM cart_checkout"
                f" WHERE (after_minutes <> :after OR settled_by <> :rule){here} LIMIT :page"
            )
            after = self._after_minutes
            more = _in_pages(
                lambda: transaction.query(others, after=after, rule=RULE, page=PAGE, **of_shop),
                resettle,
            )
            self._resettle = more or shop is not None

    def _remove_old(self, transaction: Transaction, shop: str | None, now_ms: int) -> bool:
        """Delete rows that are kept no longer. True if some may be left."""
        old_ms, (here, of_shop) = now_ms - KEPT_MS, in_shop(shop)
        old = OLD_CHECKOUTS.format(here=in_shop(shop, "c.shop")[0])
        more = _in_pages(
            lambda: transaction.query(old, old=old_ms, page=PAGE, **of_shop),
            lambda keys: self._remove(transaction, CHECKOUTS, keys, now_ms),
        )
        old_links = (
            "SELECT shop, subject FROM cart_link"
            f" WHERE kept_from_ms >= 0 AND kept_from_ms < :old{here} LIMIT :page"
        )
        return more | _in_pages(
            lambda: transaction.query(old_links, old=old_ms, page=PAGE, **of_shop),
            lambda keys: self._remove(transaction, LINKS, keys, now_ms),
        )

    def _settle(self, transaction: Transaction, keys: list[Key], now_ms: int) -> None:
        work = self._projector.begin(transaction, {str(shop) for shop, _ in keys})
        changes: list[Change[CheckoutRow]] = []
        for old in transaction.load(CHECKOUTS, keys).values():
            new = settled(old, now_ms, self._after_minutes)
            if new != old:
                changes.append(Change(old, new))
        transaction.save(CHECKOUTS, [new for _, new in changes if new is not None])
        work.apply(CHECKOUTS, changes, now_ms)

    def _remove(
        self, transaction: Transaction, entities: Entities[Row], keys: list[Key], now_ms: int
    ) -> None:
        work = self._projector.begin(transaction, {str(shop) for shop, _ in keys})
        found = transaction.load(entities, keys)
        transaction.delete(entities, list(found))
        work.apply(entities, [Change(row, None) for row in found.values()], now_ms)


def _without_redacted(
    transaction: Transaction, events: Sequence[CheckoutEvent]
) -> Sequence[CheckoutEvent]:
    """Those that no redaction covers: what it covers is counted already."""
    tokens = {token for event in events for token in _tokens(event)}
    redacted = redacted_tokens(transaction, tokens)
    return [event for event in events if redacted.keys().isdisjoint(_tokens(event))]


def _tokens(event: CheckoutEvent) -> list[tuple[str, str]]:
    """(shop, token) of the checkout and of its cart."""
    cart = None if isinstance(event, Cart) else event.cart_token
    return [(event.shop, token) for token in (event.token, cart) if token]


def checked_minutes(abandoned_after_minutes: int) -> int:
    """The setting, where it can be used. Raises ValueError."""
    if not 10 <= abandoned_after_minutes <= 7 * 24 * 60 or abandoned_after_minutes % 10:
        raise ValueError(
            f"abandoned_after_minutes is {abandoned_after_minutes}: it must be a multiple of 10,"
            " up to a week (10080)"
        )
    return abandoned_after_minutes


def _in_pages(find: Callable[[], list[Any]], change: Callable[[list[Key]], None]) -> bool:
    """Apply `change` to what `find` returns, page by page. True if something may be left."""
    for _ in range(PAGES):
        keys: list[Key] = [tuple(row) for row in find()]
        if keys:
            change(keys)
        if len(keys) < PAGE:
            return False
    return True
