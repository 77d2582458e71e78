"""Pages of orders that nothing changes any more (`stream/store/packed.py`).

Nothing is moved here: the processor of orders packs what is old, some thousand a second.
"""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.columns import integer, text

revision = "0063"
down_revision = "0062"


def upgrade() -> None:
    # Ids sort by code point on both databases, as those of `shop_order` do.
    postgres = op.get_bind().dialect.name == "postgresql"
    kind = sa.Text(collation="C") if postgres else sa.Text()
    op.create_table(
        "settled_order",
        text("shop"),
        *(sa.Column(name, kind, nullable=False) for name in ("first_id", "last_id")),
        integer("entities"),
        *(sa.Column(name, sa.LargeBinary, nullable=False) for name in ("subjects", "packed")),
        sa.PrimaryKeyConstraint("shop", "first_id"),
    )
