"""RFM and LTV: orders, days and customers; cells for scores, churn and both LTV models."""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.cells import create_cells
from stream.store.migrations.columns import integer, text

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "rfm_shop",
        sa.Column("shop", sa.Text, primary_key=True, nullable=False),
        text("currency"),
        integer("as_of_day"),
        integer("exact"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rfm_order",
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
        "rfm_customer_day",
        text("shop"),
        text("customer"),
        *(integer(name) for name in ("day", "orders", "revenue")),
        sa.PrimaryKeyConstraint("shop", "customer", "day"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rfm_customer",
        text("shop"),
        text("customer"),
        *(
            integer(name)
            for name in (
                "guest",
                "first_day",
                "last_day",
                "days",
                "first_day_revenue",
                "revenue_ever",
            )
        ),
        *(integer(name) for name in ("orders", "revenue")),
        integer("expires_day", nullable=True),
        sa.PrimaryKeyConstraint("shop", "customer"),
        sqlite_with_rowid=False,
    )
    op.create_index("rfm_customer_expires", "rfm_customer", ["shop", "expires_day"])
    op.create_index(
        "rfm_customer_recency", "rfm_customer", ["shop", "last_day", "orders", "customer"]
    )
    op.create_index("rfm_customer_monetary", "rfm_customer", ["shop", "revenue", "customer"])
    op.create_table(
        "rfm_alias",
        *(text(name) for name in ("shop", "deleted", "kept")),
        sa.PrimaryKeyConstraint("shop", "deleted"),
        sqlite_with_rowid=False,
    )
    op.create_index("rfm_alias_kept", "rfm_alias", ["shop", "kept"])
    create_cells(
        "rfm_cell",
        [text("shop"), integer("last_day"), integer("orders"), integer("monetary")],
        ["customers", "order_count", "revenue"],
    )
    create_cells(
        "rfm_last_day_cell", [text("shop"), integer("guest"), integer("last_day")], ["customers"]
    )
    create_cells(
        "rfm_btyd_cell",
        [text("shop"), integer("x"), integer("first_day"), integer("last_day")],
        ["customers", "repeat_revenue"],
    )
    create_cells(
        "rfm_spend_cell", [text("shop"), integer("x"), integer("spend")], ["customers", "revenue"]
    )
    create_cells("rfm_left_out_cell", [text("shop"), text("reason")], ["orders", "revenue"])
