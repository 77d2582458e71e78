"""Positions of processors, and what readers of cells go by."""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.columns import integer, text

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "positions",
        text("processor"),
        text("topic"),
        integer("partition"),
        integer("next"),
        integer("records"),
        integer("event_time_ms"),
        sa.PrimaryKeyConstraint("processor", "topic", "partition"),
        sqlite_with_rowid=False,
    )
    op.create_table("revisions", integer("n"))
    op.execute("INSERT INTO revisions (n) VALUES (0)")
    op.create_table(
        "cell_changes",
        text("name"),
        integer("revision"),
        integer("at_ms"),
        integer("cells"),
        sa.Column("keys", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("name", "revision"),
    )
    op.create_index("cell_changes_at", "cell_changes", ["at_ms"])
    op.create_table("cell_changes_floor", integer("floor"))
    op.execute("INSERT INTO cell_changes_floor (floor) VALUES (-1)")
