"""Why a projection has stopped for a shop."""

import sqlalchemy as sa
from alembic import op

revision = "0057"
down_revision = "0056"


def upgrade() -> None:
    op.add_column("projection", sa.Column("stopped", sa.Text, nullable=False, server_default=""))
