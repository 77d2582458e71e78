"""Redactions: what was asked and done, marks of late records, and the salt of those marks."""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.columns import integer, text

revision = "0055"
down_revision = "0054"


def upgrade() -> None:
    op.create_table(
        "redaction",
        *(text(name) for name in ("shop", "id", "kind")),
        integer("asked_ms"),
        *(text(name) for name in ("state", "subject", "cursor", "counts")),
        *(integer(name) for name in ("erased_ms", "until_ms")),
        sa.PrimaryKeyConstraint("shop", "id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "redacted_mark",
        *(text(name) for name in ("shop", "mark", "anonymous")),
        *(integer(name) for name in ("asked_ms", "until_ms")),
        sa.PrimaryKeyConstraint("shop", "mark"),
        sqlite_with_rowid=False,
    )
    op.create_table("redaction_salt", integer("id"), text("salt"), sa.PrimaryKeyConstraint("id"))
