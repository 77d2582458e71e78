"""Alarms that hold or have just ended, and who was told."""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.columns import integer, text

revision = "0064"
down_revision = "0063"


def upgrade() -> None:
    op.create_table(
        "alert",
        *(text(name) for name in ("alarm", "about", "shop")),
        *(integer(name) for name in ("since_ms", "fires_ms", "seen_ms")),
        text("detail"),
        integer("ended_ms"),
        text("told"),
        *(integer(name) for name in ("tries", "next_ms", "revision")),
        sa.PrimaryKeyConstraint("alarm", "about"),
        sqlite_with_rowid=False,
    )
