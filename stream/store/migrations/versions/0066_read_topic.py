"""Which topic a processor's positions are of, by the id that the log gives it."""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.columns import text

revision = "0066"
down_revision = "0065"


def upgrade() -> None:
    op.create_table(
        "read_topic",
        *(text(name) for name in ("processor", "topic", "identity")),
        sa.PrimaryKeyConstraint("processor", "topic"),
        sqlite_with_rowid=False,
    )
