"""Parked records: what could not be understood, why, and whether it was replayed. The bodies stay in the log."""

import sqlalchemy as sa
from alembic import op

from stream.migrations.cells import create_cells

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "parked",
        sa.Column("shop", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("source_topic", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("turn", sa.BigInteger, nullable=False),
        sa.Column("parked_partition", sa.BigInteger, nullable=False),
        sa.Column("parked_offset", sa.BigInteger, nullable=False),
        sa.Column("time_ms", sa.BigInteger, nullable=False),
        sa.Column("replayed", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("shop", "id"),
    )
    create_cells("parked_cell", [sa.Column("shop", sa.Text), sa.Column("reason", sa.Text)], ["records"])
