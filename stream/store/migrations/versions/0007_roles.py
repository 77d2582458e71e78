"""Roles at work: who they are, when they last gave a sign of life, and what they count. Nothing
depends on it but displays."""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.columns import integer, text

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "roles",
        text("role"),
        text("instance"),
        integer("pid"),
        integer("started_ms"),
        integer("restarts"),
        integer("beat_ms"),
        text("details"),
        text("metrics"),
        sa.PrimaryKeyConstraint("role", "instance"),
    )
