"""Pulls of ad spend: how far each shop's ad account was read; budgets as they are set."""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.columns import integer, text

revision = "0048"
down_revision = "0047"


def upgrade() -> None:
    op.add_column("budget_spend", sa.Column("daily_budget", sa.BigInteger, nullable=True))
    op.create_table(
        "spend_pull",
        *(text(name) for name in ("shop", "channel", "account_id", "currency", "time_zone")),
        *(integer(name) for name in ("first_day", "restated_ms", "pulled_ms")),
        sa.PrimaryKeyConstraint("shop", "channel"),
        sqlite_with_rowid=False,
    )
