"""Where a shop's webhooks go, by `orderwire subscribe`."""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.columns import integer, text

revision = "0047"
down_revision = "0046"


def upgrade() -> None:
    op.create_table(
        "subscribed",
        *(text(name) for name in ("shop", "uri")),
        integer("since_ms"),
        sa.PrimaryKeyConstraint("shop"),
        sqlite_with_rowid=False,
    )
