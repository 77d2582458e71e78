"""Indexes of checkouts by customer and by cart, without those that have none: an order that comes
before its checkout, or without one, writes two entries fewer."""

import sqlalchemy as sa
from alembic import op

revision = "0052"
down_revision = "0051"


def upgrade() -> None:
    for column in ("customer", "cart_token"):
        name, known = f"cart_checkout_{column}", sa.text(f"{column} <> ''")
        op.drop_index(name, "cart_checkout")
        op.create_index(
            name,
            "cart_checkout",
            ["shop", column, "token"],
            sqlite_where=known,
            postgresql_where=known,
        )
