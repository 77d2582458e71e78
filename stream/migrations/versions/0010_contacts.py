"""Hashes of customers' e-mail addresses and telephone numbers, of shops that allow keeping them."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "contact",
        sa.Column("shop", sa.Text, nullable=False),
        sa.Column("customer", sa.Text, nullable=False),
        sa.Column("field", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("updated_us", sa.BigInteger, nullable=False),
        sa.Column("triggered", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("shop", "customer", "field"),
        sqlite_with_rowid=False,
    )
