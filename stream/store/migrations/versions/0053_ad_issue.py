"""Meta's notices about campaigns, ad sets and ads."""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.columns import integer, text

revision = "0053"
down_revision = "0052"


def upgrade() -> None:
    op.create_table(
        "ad_issue",
        *(text(name) for name in ("shop", "object_id", "level", "campaign_id")),
        *(text(name) for name in ("field", "code", "summary")),
        *(integer(name) for name in ("open", "reported_ms")),
        sa.PrimaryKeyConstraint("shop", "object_id"),
        sqlite_with_rowid=False,
    )
