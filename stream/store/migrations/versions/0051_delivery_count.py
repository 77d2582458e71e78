"""Deliveries by shop and topic: when the last one came, and how many on that day."""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.columns import integer, text

revision = "0051"
down_revision = "0050"


def upgrade() -> None:
    op.create_table(
        "delivery_count",
        *(text(name) for name in ("shop", "topic")),
        *(integer(name) for name in ("last_ms", "day", "today")),
        sa.PrimaryKeyConstraint("shop", "topic"),
        sqlite_with_rowid=False,
    )
