"""Orders and spend -> campaign-days: the cells under `/v1/budget`.

Two entities meet in one table of cells. An order counts on its own (shop's) day in the campaign that its landing site names; what it is
worth is what the merchant keeps (`order_state.net`), so a refund goes back to the order's day. A spend report counts on its (ad account's)
day. Which label means which campaign is settled by the reader: a campaign may be renamed, or its spend told after its orders.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from processors.attribution import attribute
from processors.events import CustomersMerged, Order, OrderDeleted, OrderEvent, RefundCreated, Zones, decode_order
from processors.order_state import OrderRow, counts, merge, net
from processors.spend_record import SpendRow, decode_spend, newer
from stream.record import Entry
from stream.store import Cells, Entities, Key, Transaction

ORDERS: Final = Entities("budget_order", OrderRow, 2)
SPEND: Final = Entities("budget_spend", SpendRow, 4)
CELLS: Final = Cells(
    "budget_cell",
    ("shop", "day", "channel", "campaign_id", "campaign", "currency"),
    ("orders", "revenue", "reports", "spend", "impressions", "clicks", "platform_reports", "platform_revenue", "platform_orders"),
)
"""`campaign` is an order's label (case folded) or a report's campaign name; `reports` counts spend rows, `platform_reports` those among
them that say `platform_revenue`. Money in minor units of `currency`."""

Cell = tuple[Key, tuple[int, ...]]
"""One cell's key, and what an entity adds to each of its measures."""
Row = TypeVar("Row", OrderRow, SpendRow)


def order_cell(row: OrderRow | None) -> Cell | None:
    """The cell in which an order counts, and with how much; None where it does not."""
    if row is None or not counts(row):
        return None
    channel, campaign_id, campaign = row.subject.split("\t")
    return (row.shop, row.day, channel, campaign_id, campaign, row.currency), (1, net(row), 0, 0, 0, 0, 0, 0, 0)


def spend_cell(row: SpendRow | None) -> Cell | None:
    """The cell in which a spend report counts, and with how much."""
    if row is None:
        return None
    platform = (int(row.platform_revenue is not None), row.platform_revenue or 0, row.platform_orders or 0)
    return (
        (row.shop, row.day, row.channel, row.campaign_id, row.campaign_name, row.currency),
        (0, 0, 1, row.spend, row.impressions or 0, row.clicks or 0, *platform),
    )


def differences(moves: Iterable[tuple[Cell | None, Cell | None]]) -> dict[Key, list[int]]:
    """cells(new) - cells(old), summed over the (old, new) of each entity that moved."""
    sums: dict[Key, list[int]] = {}
    for move in moves:
        if move[0] == move[1]:
            continue
        for cell, sign in zip(move, (-1, 1), strict=True):
            if cell is not None:
                key, amounts = cell
                measures = sums.setdefault(key, [0] * len(amounts))
                for index, amount in enumerate(amounts):
                    measures[index] += sign * amount
    return sums


def spend_key(row: SpendRow) -> Key:
    """The primary key of a spend report."""
    return (row.shop, row.day, row.channel, row.campaign)


def _attribution(order: Order) -> str:
    return attribute(order.landing_site).subject()


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

    def apply(self, transaction: Transaction, events: Sequence[Order | RefundCreated | OrderDeleted], now_ms: int) -> None:
        """Fold `events` into `budget_order` and its cells: one load, one save, one addition."""
        before = transaction.load(ORDERS, {(event.shop, event.order_id) for event in events})
        after: dict[Key, OrderRow] = dict(before)
        for event in events:
            key = (event.shop, event.order_id)
            after[key] = merge(after.get(key), event, _attribution)
        _save(transaction, ORDERS, before, after, order_cell)

    def tick(self, transaction: Transaction, now_ms: int) -> None:
        """Time alone changes nothing here."""


class BudgetSpend:
    """The processor of what was spent per campaign-day."""

    name = "budget_spend"
    topic = "spend"

    def decode(self, entry: Entry) -> SpendRow:
        """A spend report. Raises Rejected."""
        return decode_spend(entry)

    def apply(self, transaction: Transaction, events: Sequence[SpendRow], now_ms: int) -> None:
        """Fold `events` into `budget_spend` and its cells: one load, one save, one addition."""
        before = transaction.load(SPEND, {spend_key(event) for event in events})
        after: dict[Key, SpendRow] = dict(before)
        for event in events:
            key = spend_key(event)
            after[key] = newer(after.get(key), event)
        _save(transaction, SPEND, before, after, spend_cell)

    def tick(self, transaction: Transaction, now_ms: int) -> None:
        """Time alone changes nothing here."""


def _save(
    transaction: Transaction,
    entities: Entities[Row],
    before: Mapping[Key, Row],
    after: Mapping[Key, Row],
    cell: Callable[[Row | None], Cell | None],
) -> None:
    moves = [(before.get(key), row) for key, row in after.items() if row != before.get(key)]
    transaction.save(entities, [new for _, new in moves])
    transaction.add(CELLS, differences((cell(old), cell(new)) for old, new in moves))
