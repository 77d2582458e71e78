"""customers/merge: a deleted customer counts as the kept one, whichever of their orders comes
before or after the merge.

Merges form chains (A into B, B into C) in any order of arrival; the alias of each customer names
the end of its chain. Aliases change only with the shop locked exclusively and are read with a
shared lock.
"""

from collections.abc import Collection
from typing import NamedTuple

from processors.engine.statements import having_rows
from processors.shopify.orders import CustomersMerged
from stream.store.contract import Entities, Reading, Transaction


class AliasRow(NamedTuple):
    """Columns of `customer_alias`: customer ids, nothing else."""

    shop: str
    deleted: str
    kept: str
    was_deleted: int = 1
    """1 where a merge deleted it; 0 for one of several that none did."""


ALIASES = Entities("customer_alias", AliasRow, 2)


def shops_with_merges(reading: Reading, shops: Collection[str]) -> frozenset[str]:
    """Those of `shops` of which customers were merged: mostly none."""
    return having_rows(reading, ALIASES.table, shops)


def merged_into(
    reading: Transaction, customers: Collection[tuple[str, str]]
) -> dict[tuple[str, str], str]:
    """The customers that those of `customers` (shop, customer) are merged into, where they are."""
    shops = shops_with_merges(reading, {shop for shop, _ in customers})
    keys = [each for each in customers if each[0] in shops]
    found = reading.load(ALIASES, keys, shared=True)
    return {(row.shop, row.deleted): row.kept for row in found.values()}


class Aliases:
    """The merged customers of one shop, as far as a batch names them."""

    def __init__(self, transaction: Transaction, shop: str) -> None:
        self._transaction, self._shop = transaction, shop
        self._kept: dict[str, str] = {}
        # Most shops have none at all.
        self._any = bool(
            transaction.query("SELECT 1 FROM customer_alias WHERE shop = :shop LIMIT 1", shop=shop)
        )

    def look_up(self, customers: Collection[str]) -> None:
        """Read the aliases of `customers`; call it before `kept`, for all of a batch together."""
        unknown = [customer for customer in customers if customer not in self._kept]
        self._kept.update(zip(unknown, unknown, strict=True))
        if self._any:
            found = self._transaction.load(
                ALIASES, {(self._shop, customer) for customer in unknown}, shared=True
            )
            self._kept.update((row.deleted, row.kept) for row in found.values())

    def kept(self, customer: str) -> str:
        """The customer that `customer` is merged into, or itself."""
        return self._kept[customer]

    def merge(self, event: CustomersMerged) -> tuple[str, ...]:
        """Record a merge. Returns the customers that counted for themselves and now do not.

        Contradicting merges do not come from Shopify, since an id is deleted once. If they did (A
        into B and into C, or B into A too), all customers that any merge joins are one, under the
        smallest id of those that none deleted, or of all, so that the order of arrival does not
        matter.
        """
        self.look_up((event.kept_id, event.deleted_id))
        heads = {self.kept(event.kept_id), self.kept(event.deleted_id)}
        found = self._transaction.query(
            "SELECT deleted, was_deleted FROM customer_alias WHERE shop = :shop "
            "AND kept IN (:one, :other)",
            shop=self._shop, one=min(heads), other=max(heads),
        )  # fmt: skip
        members = heads | {row.deleted for row in found}
        deleted = {row.deleted for row in found if row.was_deleted} | (
            {event.deleted_id} if event.deleted_id != event.kept_id else set()
        )
        head = min(members - deleted or members, key=lambda customer: (len(customer), customer))
        rows = [
            AliasRow(self._shop, each, head, int(each in deleted))
            for each in sorted(members)
            if each != head or each in deleted
        ]
        self._transaction.save(ALIASES, rows)
        if head not in deleted:
            self._transaction.delete(ALIASES, [(self._shop, head)])
        self._kept.update(dict.fromkeys(members, head))
        self._any = self._any or bool(rows)
        return tuple(sorted(heads - {head}))
