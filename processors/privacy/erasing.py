"""Erases a person from orders, checkouts and links; every aggregate follows by its own rules. The
person's rows get anonymous keys, so they still count as one customer or guest. Order ids stay: they
are the merchant's own numbers."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from processors.checkouts.known_buyers import forget, forget_buyers, load_links
from processors.checkouts.link import LINKS, LinkRow
from processors.checkouts.row import CHECKOUTS, CheckoutRow
from processors.engine.projection import Change, Projection, Projector
from processors.orders.row import ORDERS, SETTLED, OrderRow
from processors.orders.shop import SHOPS
from processors.privacy.finding import link_subjects
from processors.privacy.subject import Subject, anonymous, anonymous_token, is_redacted
from stream.store.contract import Entities, Key, Store, Transaction

PAGE = 200
"""Orders of one transaction; a person with more moves in several, and counts twice meanwhile."""


class EntityErasure:
    """Erases entities of a store, page by page."""

    def __init__(self, store: Store, projections: Collection[Projection]) -> None:
        """`projections`: of orders, checkouts and links."""
        self._store, self._projector = store, Projector(projections)

    def erase(self, shop: str, subject: Subject, now_ms: int) -> dict[str, int]:
        """Erase all of `subject`; how many rows of each kind changed."""
        return {
            "orders": self._pages(
                self._order_keys(shop, subject), self._orders, shop, subject, now_ms
            ),
            "checkouts": self._pages(
                self._checkout_keys(shop, subject), self._checkouts, shop, subject, now_ms
            ),
            "links": self._pages(
                self._link_keys(shop, subject), self._links, shop, subject, now_ms
            ),
        }

    def _pages(
        self,
        keys: Iterator[list[Key]],
        erase: Callable[[Transaction, str, Subject, list[Key], int], int],
        shop: str,
        subject: Subject,
        now_ms: int,
    ) -> int:
        changed = 0
        for page in keys:
            with self._store.begin() as transaction:
                changed += erase(transaction, shop, subject, page, now_ms)
        return changed

    def _order_keys(self, shop: str, subject: Subject) -> Iterator[list[Key]]:
        if subject.everybody:
            yield from self._all_orders(shop)
        else:
            yield from _paged(shop, subject.orders)

    def _all_orders(self, shop: str) -> Iterator[list[Key]]:
        last = ""
        while True:
            with self._store.snapshot() as snapshot:
                found = SETTLED.after(snapshot, shop, last, PAGE)
            if not found:
                return
            last = found[-1].order_id
            yield [(shop, row.order_id) for row in found]

    def _checkout_keys(self, shop: str, subject: Subject) -> Iterator[list[Key]]:
        if subject.everybody:
            yield from self._all("cart_checkout", "token", shop)
        else:
            yield from _paged(shop, subject.tokens)

    def _link_keys(self, shop: str, subject: Subject) -> Iterator[list[Key]]:
        if subject.everybody:
            with self._store.begin() as transaction:
                forget(transaction, shop)
            yield from self._all("cart_link", "subject", shop)
        else:
            carts = [f"cart:{token}" for token in subject.tokens]
            yield from _paged(shop, [*link_subjects(subject), *carts])

    def _all(self, table: str, column: str, shop: str) -> Iterator[list[Key]]:
        last = ""
        while True:
            with self._store.snapshot() as snapshot:
                found = snapshot.query(
                    f"SELECT {column} FROM {table} WHERE shop = :shop AND {column} > :last"
                    f" ORDER BY {column} LIMIT :page",
                    shop=shop,
                    last=last,
                    page=PAGE,
                )
            if not found:
                return
            last = found[-1][0]
            yield [(shop, row[0]) for row in found]

    def _orders(
        self, transaction: Transaction, shop: str, subject: Subject, keys: list[Key], now_ms: int
    ) -> int:
        work = self._projector.begin(transaction, {shop})
        transaction.load(SHOPS, [(shop,)])  # Locks the shop, as a merge does.
        names = _Names(transaction, shop, subject)
        changes: list[Change[OrderRow]] = []
        for old in SETTLED.load(transaction, ORDERS, keys).values():
            new = old._replace(
                customer=names.of(old.customer),
                email="",
                checkout_token=anonymous_token(subject.key, old.checkout_token),
                cart_token=anonymous_token(subject.key, old.cart_token),
            )
            if new != old:
                changes.append(Change(old, new))
        transaction.save(ORDERS, [new for _, new in changes if new is not None])
        if changes:
            work.apply(ORDERS, changes, now_ms)
        return len(changes)

    def _checkouts(
        self, transaction: Transaction, shop: str, subject: Subject, keys: list[Key], now_ms: int
    ) -> int:
        work = self._projector.begin(transaction, {shop})
        moves: list[tuple[CheckoutRow, CheckoutRow]] = []
        for old in transaction.load(CHECKOUTS, keys).values():
            new = old._replace(
                token=anonymous_token(subject.key, old.token),
                cart_token=anonymous_token(subject.key, old.cart_token),
                customer=_link_subject(subject, old.customer),
                recovery_url="",
            )
            if new != old:
                moves.append((old, new))
        _move(transaction, CHECKOUTS, moves)
        if moves:
            work.apply(CHECKOUTS, _changes(moves), now_ms)
        return len(moves)

    def _links(
        self, transaction: Transaction, shop: str, subject: Subject, keys: list[Key], now_ms: int
    ) -> int:
        work = self._projector.begin(transaction, {shop})
        transaction.load(SHOPS, [(shop,)])  # As whoever writes pages of known buyers.
        moves: list[tuple[LinkRow, LinkRow]] = []
        # A known buyer is a link again, under the anonymous name; the shop's rest was forgotten.
        found = load_links(transaction, keys)
        forget_buyers(transaction, shop, [str(key[1]) for key in keys])
        for old in found.values():
            new = old._replace(
                subject=_link_subject(subject, old.subject),
                checkout=old.checkout
                if len(old.checkout) < 2
                else anonymous_token(subject.key, old.checkout),
            )
            if new != old:
                moves.append((old, new))
        _move(transaction, LINKS, moves)
        if moves:
            work.apply(LINKS, _changes(moves), now_ms)
        return len(moves)


class _Names:
    """The anonymous keys of customers: merged ones stay one."""

    def __init__(self, transaction: Transaction, shop: str, subject: Subject) -> None:
        self._subject = subject
        rows = transaction.query(
            "SELECT deleted, kept FROM customer_alias WHERE shop = :shop", shop=shop
        )
        self._kept = {row.deleted: row.kept for row in rows}

    def of(self, customer: str) -> str:
        return anonymous(self._subject.key, self._kept.get(customer, customer))


def _link_subject(subject: Subject, link: str) -> str:
    """What takes a link's subject's place: `customer:…`, `email:…` or `cart:…`."""
    kind, _, value = link.partition(":")
    if not value or is_redacted(value):
        return link
    return f"{kind}:{anonymous_token(subject.key, value)}"


def _paged(shop: str, values: Sequence[str]) -> Iterator[list[Key]]:
    for start in range(0, len(values), PAGE):
        yield [(shop, value) for value in values[start : start + PAGE]]


def _move(
    transaction: Transaction, entities: Entities[Any], moves: Sequence[tuple[Any, Any]]
) -> None:
    """Save rows, some under another key."""
    keys = [(entities.key_of(old), entities.key_of(new)) for old, new in moves]
    transaction.delete(entities, [old for old, new in keys if old != new])
    transaction.save(entities, [new for _, new in moves])


def _changes(moves: Sequence[tuple[Any, Any]]) -> list[Change[Any]]:
    """A row under another key is another entity."""
    changes: list[Change[Any]] = []
    for old, new in moves:
        changes += [Change(old, None), Change(None, new)]
    return changes
