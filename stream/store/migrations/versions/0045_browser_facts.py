"""Facts of the browser's pixel, and by which checkout the outbox's open events are found."""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.columns import integer, text

revision = "0045"
down_revision = "0044"


def upgrade() -> None:
    op.create_table(
        "browser_fact",
        *(text(name) for name in ("shop", "token")),
        *(integer(name) for name in ("seen_ms", "expires_ms", "sale")),
        sa.Column("facts", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("shop", "token"),
        sqlite_with_rowid=False,
    )
    op.create_index("browser_fact_expires", "browser_fact", ["expires_ms"])
    op.create_table(
        "browser_shop",
        text("shop"),
        *(integer(name) for name in ("seen_ms", "shown_ms")),
        sa.PrimaryKeyConstraint("shop"),
        sqlite_with_rowid=False,
    )
    op.add_column("outbox", sa.Column("checkout_token", sa.Text, nullable=False, server_default=""))
    op.add_column("outbox", sa.Column("browser", sa.BigInteger, nullable=False, server_default="0"))
    open_ones = sa.text("checkout_token <> ''")
    op.create_index(
        "outbox_checkout",
        "outbox",
        ["shop", "checkout_token"],
        sqlite_where=open_ones,
        postgresql_where=open_ones,
    )
