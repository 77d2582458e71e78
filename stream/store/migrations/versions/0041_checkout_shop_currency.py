"""Checkouts: the shop's currency beside that of their prices, which is the buyer's."""

import sqlalchemy as sa
from alembic import op

revision = "0041"
down_revision = "0040"


def upgrade() -> None:
    op.add_column(
        "cart_checkout", sa.Column("shop_currency", sa.Text, nullable=False, server_default="")
    )
    op.execute("UPDATE cart_checkout SET shop_currency = currency")
