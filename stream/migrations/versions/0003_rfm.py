"""RFM and LTV: orders, purchase days and customers; cells for scores, churn and the two LTV models."""

import sqlalchemy as sa
from alembic import op

from stream.migrations.cells import create_cells

revision = "0003"
down_revision = "0002"


def _text(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, nullable=False)


def _integer(name: str, *, nullable: bool = False) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger, nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "rfm_shop",
        sa.Column("shop", sa.Text, primary_key=True, nullable=False),
        _text("currency"),
        _integer("as_of_day"),
        _integer("exact"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rfm_order",
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
        "rfm_customer_day",
        _text("shop"),
        _text("customer"),
        *(_integer(name) for name in ("day", "orders", "revenue")),
        sa.PrimaryKeyConstraint("shop", "customer", "day"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rfm_customer",
        _text("shop"),
        _text("customer"),
        *(_integer(name) for name in ("guest", "first_day", "last_day", "days", "first_day_revenue", "revenue_ever")),
        *(_integer(name) for name in ("orders", "revenue")),
        _integer("expires_day", nullable=True),
        sa.PrimaryKeyConstraint("shop", "customer"),
        sqlite_with_rowid=False,
    )
    op.create_index("rfm_customer_expires", "rfm_customer", ["shop", "expires_day"])
    op.create_index("rfm_customer_recency", "rfm_customer", ["shop", "last_day", "orders", "customer"])
    op.create_index("rfm_customer_monetary", "rfm_customer", ["shop", "revenue", "customer"])
    op.create_table(
        "rfm_alias",
        *(_text(name) for name in ("shop", "deleted", "kept")),
        sa.PrimaryKeyConstraint("shop", "deleted"),
        sqlite_with_rowid=False,
    )
    op.create_index("rfm_alias_kept", "rfm_alias", ["shop", "kept"])
    create_cells(
        "rfm_cell", [_text("shop"), _integer("last_day"), _integer("orders"), _integer("monetary")], ["customers", "order_count", "revenue"]
    )
    create_cells("rfm_last_day_cell", [_text("shop"), _integer("guest"), _integer("last_day")], ["customers"])
    create_cells(
        "rfm_btyd_cell", [_text("shop"), _integer("x"), _integer("first_day"), _integer("last_day")], ["customers", "repeat_revenue"]
    )
    create_cells("rfm_spend_cell", [_text("shop"), _integer("x"), _integer("spend")], ["customers", "revenue"])
    create_cells("rfm_left_out_cell", [_text("shop"), _text("reason")], ["orders", "revenue"])
