"""Ad budgets: orders with their attribution, spend as reported, and the cells in which both meet."""

import sqlalchemy as sa
from alembic import op

from stream.migrations.cells import create_cells

revision = "0006"
down_revision = "0005"


def _text(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, nullable=False)


def _integer(name: str, *, nullable: bool = False) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger, nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "budget_order",
        *(_text(name) for name in ("shop", "order_id", "subject")),
        _integer("updated_us"),
        *(_text(name) for name in ("triggered", "digest")),
        *(_integer(name) for name in ("deleted", "valid", "day")),
        _text("currency"),
        *(_integer(name) for name in ("total", "current_total")),
        _text("refunds"),
        sa.PrimaryKeyConstraint("shop", "order_id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "budget_spend",
        _text("shop"),
        _integer("day"),
        *(_text(name) for name in ("channel", "campaign", "campaign_id", "campaign_name")),
        _integer("reported_us"),
        *(_text(name) for name in ("digest", "currency")),
        _integer("spend"),
        *(_integer(name, nullable=True) for name in ("impressions", "clicks", "platform_revenue", "platform_orders")),
        _text("time_zone"),
        sa.PrimaryKeyConstraint("shop", "day", "channel", "campaign"),
        sqlite_with_rowid=False,
    )
    create_cells(
        "budget_cell",
        [_text("shop"), _integer("day"), *(_text(name) for name in ("channel", "campaign_id", "campaign", "currency"))],
        [
            *("orders", "revenue", "reports", "spend", "impressions", "clicks"),
            *("platform_reports", "platform_revenue", "platform_orders"),
        ],
    )
