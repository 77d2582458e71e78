"""Orders and spend -> campaign-days: the cells under `/v1/budget`.

Two entities meet in one table of cells. An order counts on its own (shop's) day in the campaign that its landing site names; what it is
worth is what the merchant keeps (`order_state.net`), so a refund goes back to the order's day. A spend report counts on its (ad account's)
day. Which label means which campaign is settled by the reader: a campaign may be renamed, or its spend told after its orders.
"""

from collections.abc import Sequence
from typing import Final

from aggregates.budget.fold.attribution import attribute
from aggregates.budget.fold.spend_record import SpendRow, decode_spend, newer
from processors.engine.processor import Projection, fold_entities
from processors.orders.state import OrderRow, counts, merge, net
from processors.shopify.orders import (
    CustomersMerged,
    Order,
    OrderDeleted,
    OrderEvent,
    RefundCreated,
    Zones,
    decode_order,
)
from stream.record import Entry
from stream.store.contract import Cells, Entities, Transaction

ORDERS: Final = Entities("budget_order", OrderRow, 2)
SPEND: Final = Entities("budget_spend", SpendRow, 4)
CELLS: Final = Cells(
    "budget_cell",
    ("shop", "day", "channel", "campaign_id", "campaign", "currency"),
    (
        "orders",
        "revenue",
        "reports",
        "spend",
        "impressions",
        "clicks",
        "platform_reports",
        "platform_revenue",
        "platform_orders",
    ),
)
"""`campaign` is an order's label (case folded) or a report's campaign name; `reports` counts spend rows, `platform_reports` those among
them that say `platform_revenue`. Money in minor units of `currency`."""


def order_cells(row: OrderRow) -> Projection:
    """The campaign-day in which an order counts, with what the merchant keeps of it; none where it does not count."""
    if not counts(row):
        return ()
    channel, campaign_id, campaign = row.subject.split("\t")
    key = (row.shop, row.day, channel, campaign_id, campaign, row.currency)
    return [(CELLS, key, (1, net(row), 0, 0, 0, 0, 0, 0, 0))]


def spend_cells(row: SpendRow) -> Projection:
    """The campaign-day in which a spend report counts."""
    platform = (
        int(row.platform_revenue is not None),
        row.platform_revenue or 0,
        row.platform_orders or 0,
    )
    key = (row.shop, row.day, row.channel, row.campaign_id, row.campaign_name, row.currency)
    return [(CELLS, key, (0, 0, 1, row.spend, row.impressions or 0, row.clicks or 0, *platform))]


def merge_order(row: OrderRow | None, event: Order | RefundCreated | OrderDeleted) -> OrderRow:
    """The order's next state, its subject the campaign that its landing site names."""
    return merge(row, event, lambda order: attribute(order.landing_site).subject())


class BudgetOrders:
    """The processor of what orders earned per campaign-day."""

    name = "budget_orders"
    topic = "orders"

    def __init__(self, zones: Zones) -> None:
        self._zones = zones

    def decode(self, entry: Entry) -> Order | RefundCreated | OrderDeleted | None:
        """An order's event; None for a merge of customers, which moves no campaign's revenue. Raises Rejected."""
        event: OrderEvent | None = decode_order(entry, self._zones)
        return None if isinstance(event, CustomersMerged) else event

    def apply(
        self,
        transaction: Transaction,
        events: Sequence[Order | RefundCreated | OrderDeleted],
        now_ms: int,
    ) -> None:
        """Fold `events` into `budget_order` and its cells."""
        fold_entities(
            transaction,
            ORDERS,
            (((event.shop, event.order_id), event) for event in events),
            merge_order,
            order_cells,
        )

    def tick(self, transaction: Transaction, now_ms: int, shop: str | None = None) -> None:
        """Time alone changes nothing here."""


class BudgetSpend:
    """The processor of what was spent per campaign-day."""

    name = "budget_spend"
    topic = "spend"

    def decode(self, entry: Entry) -> SpendRow:
        """A spend report. Raises Rejected."""
        return decode_spend(entry)

    def apply(self, transaction: Transaction, events: Sequence[SpendRow], now_ms: int) -> None:
        """Fold `events` into `budget_spend` and its cells."""
        keyed = (((row.shop, row.day, row.channel, row.campaign), row) for row in events)
        fold_entities(transaction, SPEND, keyed, newer, spend_cells)

    def tick(self, transaction: Transaction, now_ms: int, shop: str | None = None) -> None:
        """Time alone changes nothing here."""
