"""Which version of the rule settled a checkout."""

import sqlalchemy as sa
from alembic import op

revision = "0058"
down_revision = "0057"


def upgrade() -> None:
    column = sa.Column("settled_by", sa.BigInteger, nullable=False, server_default="1")
    op.add_column("cart_checkout", column)
