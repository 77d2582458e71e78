"""Folds a batch of events into links and checkouts, with one load and one save per table. Links are
always locked before checkouts, so that owners of different partitions do not deadlock."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final

from processors.checkouts.known_buyers import load_links
from processors.checkouts.link import (
    LINKS,
    MANY,
    LinkRow,
    TimedOrder,
    cart_subject,
    customer_subject,
    is_of_cart,
    linked,
    order_time_ms,
)
from processors.checkouts.row import CHECKOUTS, RULE, CheckoutRow
from processors.checkouts.state import folded, links_of, relinked, settled
from processors.engine.projection import Change, ProjectionWork
from processors.engine.statements import one_of
from processors.shopify.checkouts import Cart, CheckoutDeleted, CheckoutEvent
from processors.shopify.orders import Order
from stream.store.contract import Key, Transaction

KNOWN: Final = " AND {column} <> ''"
"""The condition of the indexes `cart_checkout_customer` and `cart_checkout_cart_token`."""
UNDECIDED: Final = " AND completed_ms = -1 AND order_ms = -1"
"""The condition of the index `cart_checkout_undecided`: a till's customer has thousands of
checkouts, nearly all of them ordered. Those of a cart are few."""


def fold(
    transaction: Transaction,
    work: ProjectionWork,
    events: Sequence[CheckoutEvent] | Sequence[Order],
    now_ms: int,
    after_minutes: int,
) -> None:
    """Fold `events`, and their rows' changes into every projection."""
    of_links: dict[Key, list[Any]] = {}
    of_checkouts: dict[Key, list[Any]] = {}
    for event in events:
        each = TimedOrder(event, order_time_ms(event)) if isinstance(event, Order) else event
        for subject in _subjects(event):
            of_links.setdefault((event.shop, subject), []).append(each)
        token = _token(event)
        if token:
            of_checkouts.setdefault((event.shop, token), []).append(each)
    links_before = load_links(transaction, of_links)
    links, changed = _links(links_before, of_links)
    refreshed = [
        (old, new)
        for old, new in changed
        if old is not None and new is not None and _copied(old) != _copied(new)
    ]
    following = [new for old, new in refreshed if _only_orders(old, new)]
    everything = [new for old, new in refreshed if not _only_orders(old, new)]
    keys = {
        *of_checkouts,
        *_checkouts_of(transaction, everything),
        *_checkouts_of(transaction, following, UNDECIDED),
    }
    rows_before = transaction.load(CHECKOUTS, keys)
    moved: list[Change[CheckoutRow]] = []
    for key in keys:
        old = row = rows_before.get(key)
        for event in of_checkouts.get(key, ()):
            row = folded(row, key, event, after_minutes)
        if row is None:
            continue
        # Without a snapshot neither customer nor cart is known, and nothing follows.
        if row.updated_us >= 0 or (row.after_minutes, row.settled_by) != (after_minutes, RULE):
            customer, cart = links_of(row)
            row = relinked(row, links.get(customer), links.get(cart))
            row = settled(row, now_ms, after_minutes)
        if row != old:
            moved.append(Change(old, row))
    transaction.save(LINKS, [new for _, new in changed if new is not None], links_before)
    transaction.save(CHECKOUTS, [new for _, new in moved if new is not None], rows_before)
    # A buyer's link, which changes with every order, counts in no aggregate.
    of_carts = [each for each in changed if each.new is not None and is_of_cart(each.new)]
    work.apply(LINKS, of_carts, now_ms)
    work.apply(CHECKOUTS, moved, now_ms)


def _subjects(event: CheckoutEvent | Order) -> list[str]:
    """The links that an event touches."""
    if isinstance(event, Order):
        return _subjects_of_order(event)
    if isinstance(event, Cart):
        return [cart_subject(event.token)]
    if isinstance(event, CheckoutDeleted):
        return [] if event.token else [cart_subject(event.cart_token)]
    subjects = []
    if event.customer_id or event.email:
        subjects.append(customer_subject(event.customer_id, event.email))
    if event.cart_token:
        subjects.append(cart_subject(event.cart_token))
    return subjects


def _subjects_of_order(order: Order) -> list[str]:
    subjects = []
    if order.customer_id:
        subjects.append(customer_subject(order.customer_id, None))
    if order.email:
        # A checkout may know its buyer by only the e-mail address, before they have logged in.
        subjects.append(customer_subject(None, order.email))
    if order.cart_token:
        subjects.append(cart_subject(order.cart_token))
    return subjects


def _token(event: CheckoutEvent | Order) -> str | None:
    """The checkout of an event."""
    if isinstance(event, Order):
        return event.checkout_token
    return None if isinstance(event, Cart) else event.token


def _links(
    before: dict[Key, LinkRow], events: dict[Key, list[Any]]
) -> tuple[dict[Key, LinkRow], list[Change[LinkRow]]]:
    """All links of the batch as they are now, and those that are new or changed."""
    links: dict[Key, LinkRow] = {}
    changed: list[Change[LinkRow]] = []
    for key, its_events in events.items():
        old = row = before.get(key)
        for event in its_events:
            row = linked(row, key, event)
        if row is None:
            continue
        links[key] = row
        if row != old:
            changed.append(Change(old, row))
    return links, changed


def _copied(row: LinkRow) -> tuple[int, str, int]:
    """The values of a link that checkouts copy."""
    return row.first_order_ms, row.orders, row.deleted_ms


def _only_orders(before: LinkRow, after: LinkRow) -> bool:
    """Whether a link only got further orders: checkouts with an order of their own do not copy
    those (`state.relinked`)."""
    return (before.first_order_ms, before.deleted_ms) == (after.first_order_ms, after.deleted_ms)


def _checkouts_of(
    transaction: Transaction, links: Collection[LinkRow], where: str = ""
) -> Iterable[Key]:
    """Keys of the checkouts under these links; if a link has several, by index, with one statement
    per shop and kind."""
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
        among, names = one_of(column, values)
        known = "" if where and column == "customer" else KNOWN.format(column=column)
        found = transaction.query(
            f"SELECT token FROM cart_checkout WHERE shop = :shop AND {among}{known}{where}",
            shop=shop,
            **names,
        )
        yield from ((shop, token) for (token,) in found)
