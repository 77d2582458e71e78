"""Orders and refunds that Shopify Events named and did not bring whole."""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.columns import integer, text

revision = "0043"
down_revision = "0042"


def upgrade() -> None:
    op.create_table(
        "order_refetch",
        *(text(name) for name in ("shop", "gid", "lacking", "triggered")),
        *(integer(name) for name in ("since_ms", "due_ms")),
        integer("tries", server_default="0"),
        sa.PrimaryKeyConstraint("shop", "gid"),
        sqlite_with_rowid=False,
    )
