"""What Shopify has and no webhook brought, and the orders of a day as Shopify has them."""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.columns import integer, text

revision = "0054"
down_revision = "0053"


def upgrade() -> None:
    op.create_table(
        "missed_order",
        text("shop"),
        text("order_id"),
        integer("updated_us"),
        text("topic"),
        integer("hour_s"),
        integer("found_s"),
        sa.PrimaryKeyConstraint("shop", "order_id", "updated_us"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "reconciled",
        text("shop"),
        integer("reached_s"),
        integer("seen"),
        integer("ran_s"),
        sa.PrimaryKeyConstraint("shop"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "statement_day",
        text("shop"),
        integer("day"),
        text("currency"),
        integer("read_s"),
        integer("until_s"),
        sa.PrimaryKeyConstraint("shop", "day"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "statement_order",
        text("shop"),
        integer("day"),
        text("order_id"),
        text("name"),
        text("channel"),
        integer("test"),
        integer("value"),
        text("currency"),
        sa.PrimaryKeyConstraint("shop", "day", "order_id"),
        sqlite_with_rowid=False,
    )
