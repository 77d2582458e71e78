"""Since when a shop's webhooks come: what is older is history, and no destination is notified."""

import sqlalchemy as sa
from alembic import op

revision = "0056"
down_revision = "0055"


def upgrade() -> None:
    op.add_column(
        "reconciled", sa.Column("began_s", sa.BigInteger, nullable=False, server_default="0")
    )
