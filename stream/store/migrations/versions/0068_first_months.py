"""Keeps what a customer bought in the month of the first sale beside the first sale."""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.columns import integer

revision = "0068"
down_revision = "0067"
OF_CUSTOMER = "m.shop = day_customer.shop AND m.customer = day_customer.customer"
SAME_MONTH = f"{OF_CUSTOMER} AND m.month = day_customer.cohort"


def upgrade() -> None:
    op.add_column("day_customer", sa.Column("currency", sa.Text, nullable=False, server_default=""))
    for name in ("orders", "revenue"):
        op.add_column("day_customer", integer(name, server_default="0"))
    # Of a customer who bought in several currencies within that month, any: the next first sale
    # sets its own.
    _fill(
        "currency",
        f"SELECT min(m.currency) FROM day_customer_month m WHERE {SAME_MONTH}",
        nothing="''",
    )
    for name in ("orders", "revenue"):
        _fill(
            name,
            f"SELECT m.{name} FROM day_customer_month m WHERE {SAME_MONTH}"
            " AND m.currency = day_customer.currency",
            nothing="0",
        )
    op.execute(
        sa.text(
            "DELETE FROM day_customer_month WHERE EXISTS (SELECT 1 FROM day_customer c"
            " WHERE c.shop = day_customer_month.shop AND c.customer = day_customer_month.customer"
            " AND c.cohort = day_customer_month.month"
            " AND c.currency = day_customer_month.currency)"
        )
    )


def _fill(column: str, found: str, *, nothing: str) -> None:
    op.execute(sa.text(f"UPDATE day_customer SET {column} = coalesce(({found}), {nothing})"))
