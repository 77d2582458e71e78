"""Days and cohorts, and the index by which a customer's first order is found."""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.cells import create_cells
from stream.store.migrations.columns import integer, text

revision = "0050"
down_revision = "0049"


def upgrade() -> None:
    op.create_index(
        "shop_order_customer", "shop_order", ["shop", "customer", "processed_ms", "order_id"]
    )
    op.create_table(
        "day_customer",
        *(text(name) for name in ("shop", "customer", "order_id")),
        *(integer(name) for name in ("processed_ms", "cohort")),
        *(text(name) for name in ("channel", "campaign")),
        sa.PrimaryKeyConstraint("shop", "customer"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "day_customer_month",
        *(text(name) for name in ("shop", "customer")),
        integer("month"),
        text("currency"),
        *(integer(name) for name in ("orders", "revenue")),
        sa.PrimaryKeyConstraint("shop", "customer", "month", "currency"),
        sqlite_with_rowid=False,
    )
    create_cells(
        "day_cell",
        [text("shop"), text("by_what"), integer("day"), text("value"), text("currency")],
        ["orders", "revenue", "refunds", "new_customers", "new_revenue", "returning_revenue"],
    )
    create_cells(
        "cohort_cell",
        [
            *(text(name) for name in ("shop", "by_what", "value")),
            *(integer(name) for name in ("cohort", "month")),
            text("currency"),
        ],
        ["customers", "orders", "revenue"],
    )
