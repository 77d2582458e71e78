"""The wall clock as it was last seen, one row per start of a machine: what waits is moved back by
the step where the clock went back, once."""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.columns import integer, text

revision = "0062"
down_revision = "0061"


def upgrade() -> None:
    op.create_table(
        "clock",
        text("boot"),
        *(integer(name) for name in ("offset_ms", "seen_ms", "stepped_ms", "by_ms")),
        sa.PrimaryKeyConstraint("boot"),
        sqlite_with_rowid=False,
    )
