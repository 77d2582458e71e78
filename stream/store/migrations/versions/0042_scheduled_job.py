"""Jobs on a schedule: when each is due for each shop, and which process has it."""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.columns import integer, text

revision = "0042"
down_revision = "0041"


def upgrade() -> None:
    op.create_table(
        "scheduled_job",
        text("job"),
        text("shop"),
        integer("due_ms"),
        sa.Column("lease_owner", sa.Text, nullable=False, server_default=""),
        integer("lease_until_ms", server_default="0"),
        integer("started_ms", server_default="0"),
        integer("succeeded_ms", server_default="0"),
        integer("failures", server_default="0"),
        integer("failing_since_ms", server_default="0"),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        sa.Column("note", sa.Text, nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("job", "shop"),
        sqlite_with_rowid=False,
    )
    op.create_index("scheduled_job_due", "scheduled_job", ["job", "due_ms"])
