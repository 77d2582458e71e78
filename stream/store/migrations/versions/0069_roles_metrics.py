"""Gives `roles.metrics` a default: the program writes it no more. A later release drops it, when no
program that writes it can run beside."""

import sqlalchemy as sa
from alembic import op

revision = "0069"
down_revision = "0068"


def upgrade() -> None:
    with op.batch_alter_table("roles") as roles:
        roles.alter_column(
            "metrics", existing_type=sa.Text(), existing_nullable=False, server_default=""
        )
