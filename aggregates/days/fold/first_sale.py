"""Finds a customer's first sale among the stored orders, once the one that was known is gone."""

from aggregates.days.fold.sale import Sale, sale
from processors.engine.projection import Scope
from processors.orders.row import SETTLED, OrderRow
from stream.store.contract import Transaction

PAGE = 50
"""Orders of a customer that are read at a time to find the first."""


class FirstSales:
    """Of the orders that one generation counts."""

    def __init__(self, transaction: Transaction, scope: Scope) -> None:
        self._transaction, self._scope = transaction, scope

    def earliest(self, customer: str) -> Sale | None:
        """The customer's first sale among all orders that this generation counts."""
        aliases = self._transaction.query(
            "SELECT deleted FROM customer_alias WHERE shop = :shop AND kept = :kept",
            shop=self._scope.shop,
            kept=customer,
        )
        found = [self._earliest_of(name) for name in {customer, *(row[0] for row in aliases)}]
        return min((each for each in found if each is not None), default=None)

    def _earliest_of(self, name: str) -> Sale | None:
        """Of the orders that name a customer so; packed ones first (`PackedPages.load`)."""
        packed = [
            each
            for row in SETTLED.of_subject(self._transaction, self._scope.shop, {name})
            if (each := self._counted(row)) is not None
        ]
        unpacked = self._earliest_row(name)
        return min([*packed, *([] if unpacked is None else [unpacked])], default=None)

    def _counted(self, row: OrderRow) -> Sale | None:
        return sale(row) if self._scope.covers(0, (row.shop, row.order_id)) else None

    def _earliest_row(self, name: str) -> Sale | None:
        """By the index `shop_order_customer`."""
        columns = ", ".join(OrderRow._fields)
        after_ms, after_id = -(1 << 62), ""
        while True:
            page = self._transaction.query(
                f"SELECT {columns} FROM shop_order WHERE shop = :shop AND customer = :name"
                " AND (processed_ms, order_id) > (:after_ms, :after_id)"
                " ORDER BY processed_ms, order_id LIMIT :page",
                shop=self._scope.shop,
                name=name,
                after_ms=after_ms,
                after_id=after_id,
                page=PAGE,
            )
            for found in page:
                row = OrderRow._make(found)
                after_ms, after_id = row.processed_ms, row.order_id
                if (counted := self._counted(row)) is not None:
                    return counted
            if len(page) < PAGE:
                return None
