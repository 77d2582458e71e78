"""An index of events with an id of their own instead of the template's, for counting."""

from alembic import op
from sqlalchemy import text

revision = "0040"
down_revision = "0032"


def upgrade() -> None:
    own = text("substr(event_id, 1, 6) = 'order:'")
    op.create_index(
        "outbox_own_id",
        "outbox",
        ["shop", "destination"],
        sqlite_where=own,
        postgresql_where=own,
    )
