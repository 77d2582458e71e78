"""Keeps a customer's only purchase day in the customer's row: most customers have one."""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.columns import integer

revision = "0067"
down_revision = "0066"
OF_CUSTOMER = "d.shop = rfm_customer.shop AND d.customer = rfm_customer.customer"


def upgrade() -> None:
    op.add_column("rfm_customer", integer("first_day_orders", server_default="0"))
    op.execute(
        sa.text(
            "UPDATE rfm_customer SET first_day_orders = coalesce((SELECT d.orders"
            f" FROM rfm_customer_day d WHERE {OF_CUSTOMER} AND d.day = rfm_customer.first_day), 0)"
        )
    )
    op.execute(
        sa.text(
            "DELETE FROM rfm_customer_day WHERE EXISTS (SELECT 1 FROM rfm_customer c"
            " WHERE c.shop = rfm_customer_day.shop AND c.customer = rfm_customer_day.customer"
            " AND c.days = 1)"
        )
    )
