"""BG/NBD cells: days where weeks lose too much, and customers' mean days beside a week."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

# `aggregates/rfm/fold/day_bins.py`, in SQL; shops with exact days have nothing to change.
REFILL = """
    INSERT INTO rfm_btyd_cell
        (shop, x, first_day, last_day, customers, repeat_revenue, first_offset, last_offset)
    SELECT shop, days - 1, first_cell, last_cell, COUNT(*),
        CAST(SUM(revenue_ever - first_day_revenue) AS BIGINT),
        CAST(SUM(first_day - first_cell) AS BIGINT), CAST(SUM(last_day - last_cell) AS BIGINT)
    FROM (
        SELECT b.*, CASE
            WHEN last_day - first_day < 28 THEN first_cell + last_day - first_day
            ELSE last_day - last_day % 7 + 3 END AS last_cell
        FROM (
            SELECT c.*, CASE
                WHEN first_day = last_day THEN first_day
                ELSE first_day - first_day % 7 + 3 END AS first_cell
            FROM rfm_customer c JOIN rfm_shop s ON s.shop = c.shop AND s.exact = 0
        ) b
    ) a
    GROUP BY shop, days, first_cell, last_cell
"""


def upgrade() -> None:
    for name in ("first_offset", "last_offset"):
        kind = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
        column = sa.Column(name, kind, nullable=False, server_default="0")
        op.add_column("rfm_btyd_cell", column)
    op.execute(
        "DELETE FROM rfm_btyd_cell WHERE shop IN (SELECT shop FROM rfm_shop WHERE exact = 0)"
    )
    op.execute(REFILL)
