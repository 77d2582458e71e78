"""customers/merge: a customer that is gone counts as the one that is kept, whichever of their orders comes before or after the merge.

Merges make chains (A into B, B into C), told in any order; the alias of each customer always names the end of its chain.
"""

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
    """The merged customers of one shop. Few shops have any, and those few: they are read whole."""

    def __init__(self, transaction: Transaction, shop: str) -> None:
        self._transaction, self._shop = transaction, shop
        rows = transaction.query("SELECT deleted, kept FROM rfm_alias WHERE shop = :shop", shop=shop)
        self._kept: dict[str, str] = dict(map(tuple, rows))

    def kept(self, customer: str) -> str:
        """Who `customer` is now."""
        return self._kept.get(customer, customer)

    def merge(self, event: CustomersMerged) -> bool:
        """Take note of a merge; False where nothing changes."""
        kept = self.kept(event.kept_id)
        if event.deleted_id in self._kept or kept == event.deleted_id:
            return False
        self._kept[event.deleted_id] = kept
        for deleted, now in self._kept.items():
            if now == event.deleted_id:
                self._kept[deleted] = kept
        changed = [AliasRow(self._shop, deleted, now) for deleted, now in self._kept.items() if now == kept]
        self._transaction.save(ALIASES, changed)
        return True
