"""RFM's orders by currency (the shop's is the most frequent); contradicting merges."""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.cells import create_cells

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    create_cells(
        "rfm_currency_cell",
        [sa.Column("shop", sa.Text), sa.Column("currency", sa.Text)],
        ["orders"],
    )
    op.execute(
        "INSERT INTO rfm_currency_cell (shop, currency, orders) SELECT o.shop, o.currency, "
        "COUNT(*) FROM rfm_order o JOIN rfm_shop s ON s.shop = o.shop WHERE o.updated_us >= 0 "
        "AND o.valid = 1 AND o.deleted = 0 AND o.day <= s.as_of_day GROUP BY o.shop, o.currency"
    )
    op.execute("DELETE FROM rfm_left_out_cell WHERE reason = 'currency'")
    op.add_column("rfm_alias", sa.Column("told", sa.BigInteger, nullable=False, server_default="1"))
