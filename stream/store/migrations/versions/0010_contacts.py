"""Hashes of customers' e-mail addresses and telephone numbers, of shops that allow keeping them."""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.columns import integer, text

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "contact",
        text("shop"),
        text("customer"),
        text("field"),
        text("hash"),
        integer("updated_us"),
        text("triggered"),
        text("digest"),
        sa.PrimaryKeyConstraint("shop", "customer", "field"),
        sqlite_with_rowid=False,
    )
