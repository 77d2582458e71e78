"""The campaign-day cells of an order or a spend report. The reader decides which campaign a label
means, since a campaign may be renamed, or its spend reported after its orders."""

from typing import Final

from aggregates.budget.fold.attribution import attribute
from aggregates.budget.fold.spend_record import SpendRow
from processors.engine.processor import Projection
from processors.orders.row import OrderRow, counts
from processors.orders.state import net
from stream.store.contract import Cells

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
"""`campaign` is an order's label (case folded) or a report's campaign name; `reports` counts spend
rows, `platform_reports` those among them that say `platform_revenue`. Money in minor units of
`currency`."""


def order_cells(row: OrderRow) -> Projection:
    """The campaign-day of an order, with what the merchant keeps of it; none if it does not count.

    An order counts on its own (shop's) day in the campaign of its landing site; a refund goes back
    to the order's day.
    """
    if not counts(row):
        return ()
    where = attribute(row.landing)
    key = (
        row.shop,
        row.day,
        where.channel,
        where.campaign_id,
        where.campaign,
        row.currency,
    )
    return [(CELLS, key, (1, net(row), 0, 0, 0, 0, 0, 0, 0))]


def spend_cells(row: SpendRow) -> Projection:
    """The campaign-day of a spend report, on its (ad account's) day."""
    platform = (
        int(row.platform_revenue is not None),
        row.platform_revenue or 0,
        row.platform_orders or 0,
    )
    key = (row.shop, row.day, row.channel, row.campaign_id, row.campaign_name, row.currency)
    return [(CELLS, key, (0, 0, 1, row.spend, row.impressions or 0, row.clicks or 0, *platform))]
