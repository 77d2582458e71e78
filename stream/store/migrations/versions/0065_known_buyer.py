"""Who has bought before, as three numbers. Nothing is moved here: the processor of carts does, once
a day."""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.columns import integer

revision = "0065"
down_revision = "0064"


def upgrade() -> None:
    op.create_table(
        "known_buyer",
        *(integer(name) for name in ("shop_mark", "mark", "first_order_ms")),
        sa.PrimaryKeyConstraint("shop_mark", "mark"),
        sqlite_with_rowid=False,
    )
