"""Parked records: what could not be understood, why, and whether it was replayed. The bodies stay
in the log."""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.cells import create_cells
from stream.store.migrations.columns import integer, text

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "parked",
        text("shop"),
        text("id"),
        text("topic"),
        text("source_topic"),
        text("reason"),
        integer("turn"),
        integer("parked_partition"),
        integer("parked_offset"),
        integer("time_ms"),
        integer("replayed"),
        sa.PrimaryKeyConstraint("shop", "id"),
    )
    create_cells("parked_cell", [text("shop"), text("reason")], ["records"])
