"""Events of an account that were refused alike, one after the other."""

import sqlalchemy as sa
from alembic import op

revision = "0060"
down_revision = "0059"


def upgrade() -> None:
    for name in ("refused_cause", "refused_orders"):
        column = sa.Column(name, sa.Text, nullable=False, server_default="")
        op.add_column("destination_account", column)
