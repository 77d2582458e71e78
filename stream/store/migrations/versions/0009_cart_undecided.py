"""Checkouts without an order of their own, by customer: those that follow what their customer
orders elsewhere."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    where = sa.text("completed_ms = -1 AND order_ms = -1")
    op.create_index(
        "cart_checkout_undecided",
        "cart_checkout",
        ["shop", "customer", "token"],
        sqlite_where=where,
        postgresql_where=where,
    )
