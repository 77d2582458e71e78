"""Shops that are behind the others of their processor."""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.columns import integer, text

revision = "0030"
down_revision = "0020"


def upgrade() -> None:
    op.create_table(
        "stopped_shop",
        text("processor"),
        text("topic"),
        integer("partition"),
        text("shop"),
        integer("next"),
        integer("stopped"),
        integer("limited_from"),
        text("reason"),
        integer("since_ms"),
        sa.PrimaryKeyConstraint("processor", "topic", "partition", "shop"),
        sqlite_with_rowid=False,
    )
