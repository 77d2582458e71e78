"""Audits: each shop's latest run of a type, and its steps."""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.columns import integer, text

revision = "0046"
down_revision = "0045"


def upgrade() -> None:
    op.create_table(
        "audit_run",
        text("shop"),
        text("type"),
        text("run_id"),
        text("status"),
        integer("days"),
        integer("started_ms"),
        integer("completed_ms"),
        integer("updated_ms"),
        text("issues"),
        text("summary"),
        sa.PrimaryKeyConstraint("shop", "type"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "audit_step",
        text("shop"),
        text("type"),
        text("run_id"),
        integer("place"),
        text("name"),
        text("status"),
        integer("started_ms"),
        integer("completed_ms"),
        integer("duration_us"),
        text("result"),
        text("error"),
        sa.PrimaryKeyConstraint("shop", "type", "place"),
        sqlite_with_rowid=False,
    )
