"""Positions of processors, and what readers of cells go by."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "positions",
        sa.Column("processor", sa.Text, nullable=False),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("partition", sa.BigInteger, nullable=False),
        sa.Column("next", sa.BigInteger, nullable=False),
        sa.Column("records", sa.BigInteger, nullable=False),
        sa.Column("event_time_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("processor", "topic", "partition"),
        sqlite_with_rowid=False,
    )
    op.create_table("revisions", sa.Column("n", sa.BigInteger, nullable=False))
    op.execute("INSERT INTO revisions (n) VALUES (0)")
    op.create_table(
        "cell_changes",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("cells", sa.BigInteger, nullable=False),
        sa.Column("keys", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("name", "revision"),
    )
    op.create_index("cell_changes_at", "cell_changes", ["at_ms"])
    op.create_table("cell_changes_floor", sa.Column("floor", sa.BigInteger, nullable=False))
    op.execute("INSERT INTO cell_changes_floor (floor) VALUES (-1)")
