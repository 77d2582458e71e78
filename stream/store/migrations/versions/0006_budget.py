"""Ad budgets: attributed orders, reported spend, and the cells that join both."""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.cells import create_cells
from stream.store.migrations.columns import integer, text

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "budget_order",
        *(text(name) for name in ("shop", "order_id", "subject")),
        integer("updated_us"),
        *(text(name) for name in ("triggered", "digest")),
        *(integer(name) for name in ("deleted", "valid", "day")),
        text("currency"),
        *(integer(name) for name in ("total", "current_total")),
        text("refunds"),
        sa.PrimaryKeyConstraint("shop", "order_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "budget_spend",
        text("shop"),
        integer("day"),
        *(text(name) for name in ("channel", "campaign", "campaign_id", "campaign_name")),
        integer("reported_us"),
        *(text(name) for name in ("digest", "currency")),
        integer("spend"),
        *(
            integer(name, nullable=True)
            for name in ("impressions", "clicks", "platform_revenue", "platform_orders")
        ),
        text("time_zone"),
        sa.PrimaryKeyConstraint("shop", "day", "channel", "campaign"),
        sqlite_with_rowid=False,
    )
    create_cells(
        "budget_cell",
        [
            text("shop"),
            integer("day"),
            *(text(name) for name in ("channel", "campaign_id", "campaign", "currency")),
        ],
        [
            *("orders", "revenue", "reports", "spend", "impressions", "clicks"),
            *("platform_reports", "platform_revenue", "platform_orders"),
        ],
    )
