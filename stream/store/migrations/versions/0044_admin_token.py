"""Expiring tokens of the Admin API: a shop's access token and the refresh token of the next one."""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.columns import integer, text

revision = "0044"
down_revision = "0043"


def upgrade() -> None:
    op.create_table(
        "admin_token",
        text("shop"),
        text("first"),
        text("access_token"),
        text("refresh_token"),
        integer("renew_at_s"),
        integer("claimed_until_s"),
        sa.PrimaryKeyConstraint("shop"),
        sqlite_with_rowid=False,
    )
