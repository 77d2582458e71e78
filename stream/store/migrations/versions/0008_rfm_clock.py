"""RFM's clock: where a shop's midnight is, how long its window is, and orders of days that have not
begun."""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.columns import integer, text

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    for name, default in (("offset_day", "0"), ("offset_s", "0"), ("window_days", "365")):
        op.add_column("rfm_shop", integer(name, server_default=default))
    op.create_table(
        "rfm_early",
        text("shop"),
        integer("day"),
        text("order_id"),
        sa.PrimaryKeyConstraint("shop", "day", "order_id"),
        sqlite_with_rowid=False,
    )
