"""Checkouts, carts and orders -> abandoned carts: the cells under `/v1/carts`.

Two processors write the same rows: `carts` from the topic `checkouts`, `carts_orders` from
`orders`. One batch is one load and one save per table, always links before checkouts, so that the
two do not deadlock. An order reaches its own checkout by `checkout_token`, those of its cart by
`cart_token` where it names no checkout, and its customer's others by the link of that customer:
those are refreshed whenever the link changes, and a checkout copies the link whenever it comes
under it. Hence a checkout's row is a function of what was told, and never of the order in which it
was told. Every checkout leaves a row for its customer and its cart, known or not, so that two
owners meet on it.

Kept for 90 days from `created_at`, as in Shopify's admin (docs/facts/analytics.md, "Cart states");
the rows of customers stay. `refunds/create` and `orders/delete` are not read, since an order's own
snapshots have its worth, nor is `customers/merge`: an order assists where it names the same
customer.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, Final

from aggregates.carts.cells import TABLES, cells
from aggregates.carts.fold.idle import BUCKET_MS, HOUR_MS
from aggregates.carts.fold.link import (
    LINKS,
    MANY,
    LinkRow,
    begun,
    cart_subject,
    customer_subject,
    linked,
)
from aggregates.carts.fold.state import (
    CHECKOUTS,
    EXPIRES_MS,
    KEPT_MS,
    CheckoutRow,
    folded,
    links_of,
    relinked,
    settled,
)
from processors.engine.processor import Deltas, Projection, in_shop
from processors.shopify.checkouts import Cart, CheckoutDeleted, CheckoutEvent, decode_checkout
from processors.shopify.orders import Order, Zones, decode_order
from stream.record import Entry
from stream.store.contract import Entities, Key, Row, Transaction

AFTER_MINUTES: Final = 60
PAGE: Final = 500
"""Rows that one step of a tick touches; a tick takes as many steps as there is work, up to PAGES."""
PAGES: Final = 20
OLD_CHECKOUTS: Final = """
    WITH RECURSIVE shops (shop) AS (
        SELECT MIN(shop) FROM cart_checkout
        UNION ALL
        SELECT (SELECT MIN(c.shop) FROM cart_checkout c WHERE c.shop > shops.shop) FROM shops WHERE shops.shop IS NOT NULL
    )
    SELECT c.shop, c.token FROM shops CROSS JOIN cart_checkout c WHERE c.shop = shops.shop AND c.created_ms < :old{here} LIMIT :page
"""
"""From shop to shop by the index on (shop, created_ms), as neither database would by itself."""
UNDECIDED: Final = " AND completed_ms = -1 AND order_ms = -1"
"""The condition of the index `cart_checkout_undecided`: a till's customer has thousands of checkouts, nearly all of them ordered."""
NOT_READ: Final = frozenset({"refunds/create", "orders/delete", "orders/edited", "customers/merge"})


class Carts:
    """The processor of checkouts/* and carts/*. Its `tick` also expires and forgets."""

    name = "carts"
    topic = "checkouts"

    def __init__(self, abandoned_after_minutes: int = AFTER_MINUTES) -> None:
        """`abandoned_after_minutes`: idle for so long, a checkout is abandoned; whole tens, since that is how finely idleness is counted.

        After a change the `tick` counts existing rows anew. Raises ValueError.
        """
        self._after_minutes = checked_minutes(abandoned_after_minutes)
        self._recount = True
        self._swept_hour = 0

    def decode(self, entry: Entry) -> CheckoutEvent | None:
        """A checkout's or cart's event. Raises Rejected."""
        return decode_checkout(entry)

    def apply(self, transaction: Transaction, events: Sequence[CheckoutEvent], now_ms: int) -> None:
        """Fold `events` into checkouts, links and cells."""
        _fold(transaction, events, now_ms, self._after_minutes)

    def tick(self, transaction: Transaction, now_ms: int, shop: str | None = None) -> None:
        """Expire what has been idle for 14 days, forget what is 90 days old; after a start, recount rows settled by another T.

        Once an hour, remove cells that have become zero: every ten minutes have cells of their own, which empty as their checkouts close.
        """
        edge, old_ms = (now_ms - EXPIRES_MS) // BUCKET_MS, now_ms - KEPT_MS
        here, of_shop = in_shop(shop)
        _in_pages(
            lambda: transaction.query(
                "SELECT shop, token FROM cart_checkout WHERE open_bucket >= 0"
                f" AND (open_bucket < :edge OR (open_bucket = :edge AND last_ms <= :idle)){here} LIMIT :page",
                edge=edge, idle=now_ms - EXPIRES_MS, page=PAGE, **of_shop,
            ),
            lambda keys: _resettle(transaction, keys, now_ms, self._after_minutes),
        )  # fmt: skip
        _in_pages(
            lambda: transaction.query(
                OLD_CHECKOUTS.format(here=in_shop(shop, "c.shop")[0]),
                old=old_ms,
                page=PAGE,
                **of_shop,
            ),
            lambda keys: _forget(transaction, CHECKOUTS, keys, cells),
        )
        _in_pages(
            lambda: transaction.query(
                "SELECT shop, subject FROM cart_link"
                f" WHERE kept_from_ms >= 0 AND kept_from_ms < :old{here} LIMIT :page",
                old=old_ms,
                page=PAGE,
                **of_shop,
            ),
            lambda keys: _forget(transaction, LINKS, keys, begun),
        )
        if now_ms // HOUR_MS != self._swept_hour:
            self._swept_hour = now_ms // HOUR_MS
            for table in TABLES:
                transaction.sweep(table)
        if self._recount:
            more = _in_pages(
                lambda: transaction.query(
                    "SELECT shop, token FROM cart_checkout"
                    f" WHERE after_minutes <> :after{here} LIMIT :page",
                    after=self._after_minutes,
                    page=PAGE,
                    **of_shop,
                ),
                lambda keys: _resettle(transaction, keys, now_ms, self._after_minutes),
            )
            self._recount = more or shop is not None


class CartsOrders:
    """The processor of what orders do to checkouts."""

    name = "carts_orders"
    topic = "orders"

    def __init__(
        self, abandoned_after_minutes: int = AFTER_MINUTES, zones: Zones | None = None
    ) -> None:
        """`abandoned_after_minutes` as for `Carts`; `zones` as for the other readers of orders. Raises ValueError."""
        self._after_minutes, self._zones = checked_minutes(abandoned_after_minutes), zones or {}

    def decode(self, entry: Entry) -> Order | None:
        """The order; None for what is not read, and for test orders. Raises Rejected."""
        if entry.record.headers.get("topic") in NOT_READ:
            return None
        event = decode_order(entry, self._zones)
        return event if isinstance(event, Order) and not event.test else None

    def apply(self, transaction: Transaction, events: Sequence[Order], now_ms: int) -> None:
        """Fold `events` into checkouts, links and cells."""
        _fold(transaction, events, now_ms, self._after_minutes)

    def tick(self, transaction: Transaction, now_ms: int, shop: str | None = None) -> None:
        """Time alone does nothing to orders."""


def checked_minutes(abandoned_after_minutes: int) -> int:
    """The setting, if it can be had. Raises ValueError."""
    if not 10 <= abandoned_after_minutes <= 7 * 24 * 60 or abandoned_after_minutes % 10:
        raise ValueError(
            f"abandoned_after_minutes is {abandoned_after_minutes}: it must be a multiple of 10, up to a week (10080)"
        )
    return abandoned_after_minutes


def _fold(
    transaction: Transaction,
    events: Sequence[CheckoutEvent] | Sequence[Order],
    now_ms: int,
    after_minutes: int,
) -> None:
    of_links: dict[Key, list[Any]] = {}
    of_checkouts: dict[Key, list[Any]] = {}
    for event in events:
        for subject in _subjects(event):
            of_links.setdefault((event.shop, subject), []).append(event)
        token = _token(event)
        if token:
            of_checkouts.setdefault((event.shop, token), []).append(event)
    deltas = Deltas()
    links_before = transaction.load(LINKS, of_links)
    links, changed = _links(links_before, of_links, deltas)
    refreshed = [
        key
        for key in changed
        if key in links_before and _copied(links_before[key]) != _copied(links[key])
    ]
    following = [links[key] for key in refreshed if _only_orders(links_before[key], links[key])]
    everything = [
        links[key] for key in refreshed if not _only_orders(links_before[key], links[key])
    ]
    keys = {
        *of_checkouts,
        *_checkouts_of(transaction, everything),
        *_checkouts_of(transaction, following, UNDECIDED),
    }
    rows_before = transaction.load(CHECKOUTS, keys)
    rows: list[CheckoutRow] = []
    for key in keys:
        old = row = rows_before.get(key)
        for event in of_checkouts.get(key, ()):
            row = folded(row, key, event)
        if row is not None:
            customer, cart = links_of(row)
            row = settled(
                relinked(row, links.get(customer), links.get(cart)), now_ms, after_minutes
            )
            _move(deltas, rows, old, row)
    transaction.save(LINKS, [links[key] for key in changed])
    transaction.save(CHECKOUTS, rows)
    deltas.save(transaction)


def _subjects(event: CheckoutEvent | Order) -> tuple[str, ...]:
    """The links that an event touches."""
    if isinstance(event, Cart):
        return (cart_subject(event.token),)
    if isinstance(event, CheckoutDeleted):
        return () if event.token else (cart_subject(event.cart_token),)
    told = [customer_subject(event.customer_id, event.email), cart_subject(event.cart_token)]
    if isinstance(event, Order) and event.customer_id:
        # A checkout may know its buyer by the e-mail address alone, before they have logged in.
        told.append(customer_subject(None, event.email))
    return tuple(subject for subject in told if subject)


def _token(event: CheckoutEvent | Order) -> str | None:
    """The checkout that an event is about."""
    if isinstance(event, Order):
        return event.checkout_token
    return None if isinstance(event, Cart) else event.token


def _links(
    before: dict[Key, LinkRow], events: dict[Key, list[Any]], deltas: Deltas
) -> tuple[dict[Key, LinkRow], list[Key]]:
    """All links of the batch as they are now, and the keys of those that are new or changed."""
    links: dict[Key, LinkRow] = {}
    changed: list[Key] = []
    for key, its_events in events.items():
        old = row = before.get(key)
        for event in its_events:
            row = linked(row, key, event)
        if row is None:
            continue
        links[key] = row
        if row != old:
            changed.append(key)
            deltas.move(begun(old), begun(row))
    return links, changed


def _copied(row: LinkRow) -> tuple[int, str, int]:
    """What checkouts copy of a link."""
    return row.first_order_ms, row.orders, row.deleted_ms


def _only_orders(before: LinkRow, after: LinkRow) -> bool:
    """Whether only further orders came to a link: checkouts with an order of their own do not copy those (`cart_state.relinked`)."""
    return (before.first_order_ms, before.deleted_ms) == (after.first_order_ms, after.deleted_ms)


def _checkouts_of(
    transaction: Transaction, links: Collection[LinkRow], where: str = ""
) -> Iterable[Key]:
    """Keys of the checkouts under these links; where one has several, by index, with one statement per shop and kind."""
    wanted: dict[tuple[str, str], list[str]] = {}
    for link in links:
        if link.checkout == MANY:
            kind, _, cart_token = link.subject.partition(":")
            column, value = (
                ("cart_token", cart_token) if kind == "cart" else ("customer", link.subject)
            )
            wanted.setdefault((link.shop, column), []).append(value)
        elif link.checkout:
            yield link.shop, link.checkout
    for (shop, column), values in wanted.items():
        # Filled up to a power of two, so that few different statements are ever prepared.
        size = 1 << (len(values) - 1).bit_length()
        names = {f"v{i}": values[min(i, len(values) - 1)] for i in range(size)}
        found = transaction.query(
            f"SELECT token FROM cart_checkout WHERE shop = :shop AND {column} IN ({', '.join(f':{name}' for name in names)}){where}",
            shop=shop,
            **names,
        )
        yield from ((shop, token) for (token,) in found)


def _move(
    deltas: Deltas, rows: list[CheckoutRow], old: CheckoutRow | None, new: CheckoutRow
) -> None:
    if old == new:
        return
    rows.append(new)
    deltas.move(cells(old), cells(new))


def _in_pages(find: Callable[[], list[Any]], change: Callable[[list[Key]], None]) -> bool:
    """Do `change` to what `find` finds, page by page. True where something may be left."""
    for _ in range(PAGES):
        keys: list[Key] = [tuple(row) for row in find()]
        if keys:
            change(keys)
        if len(keys) < PAGE:
            return False
    return True


def _resettle(transaction: Transaction, keys: list[Key], now_ms: int, after_minutes: int) -> None:
    deltas, rows = Deltas(), list[CheckoutRow]()
    for old in transaction.load(CHECKOUTS, keys).values():
        _move(deltas, rows, old, settled(old, now_ms, after_minutes))
    transaction.save(CHECKOUTS, rows)
    deltas.save(transaction)


def _forget(
    transaction: Transaction,
    entities: Entities[Row],
    keys: list[Key],
    project: Callable[[Row], Projection],
) -> None:
    deltas, found = Deltas(), transaction.load(entities, keys)
    for row in found.values():
        deltas.take(project(row))
    transaction.delete(entities, list(found))
    deltas.save(transaction)
