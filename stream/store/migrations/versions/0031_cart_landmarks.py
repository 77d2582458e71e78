"""Idle spells by what became of the cart within 7 days, and by the midnights they lay across."""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.cells import create_cells
from stream.store.migrations.columns import integer

revision = "0031"
down_revision = "0030"


# Checkouts are counted anew: a row without a state counts nowhere, and one that was settled by
# another T than the setting's is settled again after the next start.
COUNT_ANEW = (
    *(
        f"DELETE FROM {table}"
        for table in ("cart_open", "cart_closed", "cart_spell", "cart_landmark", "cart_cohort")
    ),
    "UPDATE cart_checkout SET state = '', open_bucket = -1, after_minutes = 0",
)


def upgrade() -> None:
    create_cells(
        "cart_landmark",
        [
            *(sa.Column(name, sa.Text, nullable=False) for name in ("shop", "currency")),
            *(integer(name) for name in ("day", "age")),
        ],
        ["carts", "completed"],
    )
    op.execute("ALTER TABLE cart_spell RENAME COLUMN censored TO not_completed")
    for statement in COUNT_ANEW:
        op.execute(statement)
