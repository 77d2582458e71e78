"""Windows of a shop's past that were read from the Admin API, and how far."""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.columns import integer, text

revision = "0049"
down_revision = "0048"


def upgrade() -> None:
    op.create_table(
        "backfill_window",
        text("shop"),
        text("kind"),
        integer("from_s"),
        integer("to_s"),
        text("state"),
        text("operation"),
        text("cursor"),
        integer("appended"),
        sa.PrimaryKeyConstraint("shop", "kind", "from_s"),
        sqlite_with_rowid=False,
    )
