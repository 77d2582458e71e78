"""Names two columns after what they hold: both were `told`. Only the catalogue changes."""

from alembic import op

revision = "0072"
down_revision = "0071"


def upgrade() -> None:
    op.execute("ALTER TABLE customer_alias RENAME COLUMN told TO was_deleted")
    op.execute("ALTER TABLE alert RENAME COLUMN told TO notified")
