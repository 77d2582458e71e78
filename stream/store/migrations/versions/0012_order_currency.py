"""The currency of what a checkout's order is worth, which need not be the checkout's."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column(
        "cart_checkout", sa.Column("revenue_currency", sa.Text, nullable=False, server_default="")
    )
    # As rows were counted so far: cells stay the sum of their rows.
    op.execute("UPDATE cart_checkout SET revenue_currency = currency WHERE revenue >= 0")
