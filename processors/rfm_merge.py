"""customers/merge: a customer that is gone counts as the one that is kept, whichever of their orders comes before or after the merge.

Merges make chains (A into B, B into C), told in any order; the alias of each customer always names the end of its chain. Aliases are
changed only with the shop locked alone and read with it locked, shared.
"""

from collections.abc import Collection
from typing import NamedTuple

from processors.events import CustomersMerged
from stream.store import Entities, Transaction


class AliasRow(NamedTuple):
    """Columns of `rfm_alias`: customer ids, nothing else."""

    shop: str
    deleted: str
    kept: str


ALIASES = Entities("rfm_alias", AliasRow, 2)


class Aliases:
    """The merged customers of one shop, as far as a batch names them."""

    def __init__(self, transaction: Transaction, shop: str) -> None:
        self._transaction, self._shop = transaction, shop
        self._kept: dict[str, str] = {}
        # Most shops have none at all.
        self._any = bool(transaction.query("SELECT 1 FROM rfm_alias WHERE shop = :shop LIMIT 1", shop=shop))

    def look_up(self, customers: Collection[str]) -> None:
        """Read the aliases of `customers`; to be done before `kept` is asked, for all of a batch at once."""
        unknown = [customer for customer in customers if customer not in self._kept]
        self._kept.update(zip(unknown, unknown, strict=True))
        if self._any:
            found = self._transaction.load(ALIASES, {(self._shop, customer) for customer in unknown}, shared=True)
            self._kept.update((row.deleted, row.kept) for row in found.values())

    def kept(self, customer: str) -> str:
        """Who `customer` is now."""
        return self._kept[customer]

    def merge(self, event: CustomersMerged) -> bool:
        """Take note of a merge; False where nothing changes."""
        self.look_up((event.kept_id, event.deleted_id))
        kept = self.kept(event.kept_id)
        if self.kept(event.deleted_id) != event.deleted_id or kept == event.deleted_id:
            return False
        followers = self._transaction.query(
            "SELECT deleted FROM rfm_alias WHERE shop = :shop AND kept = :kept", shop=self._shop, kept=event.deleted_id
        )
        gone = [event.deleted_id, *(row[0] for row in followers)]
        self._transaction.save(ALIASES, [AliasRow(self._shop, deleted, kept) for deleted in gone])
        self._kept.update(dict.fromkeys(gone, kept))
        self._any = True
        return True
