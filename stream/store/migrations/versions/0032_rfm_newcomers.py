"""RFM cells tell newcomers, whose first order ever is not long before the last, from others."""

from alembic import op

from stream.store.migrations.cells import create_cells
from stream.store.migrations.columns import integer, text

revision = "0032"
down_revision = "0031"

# `aggregates/rfm/fold/customer.py`, in SQL. A customer's amount as cells have it, exact or the edge
# of its bin, is the smallest one of their old cell's neighbours that is not below their own.
REFILL = """
    INSERT INTO rfm_cell
        (shop, last_day, orders, newcomer, monetary, customers, order_count, revenue)
    SELECT shop, last_day, capped, newcomer, monetary, COUNT(*),
        CAST(SUM(orders) AS BIGINT), CAST(SUM(revenue) AS BIGINT)
    FROM (
        SELECT b.*, (
            SELECT MIN(k.monetary) FROM rfm_cell_before k
            WHERE k.shop = b.shop AND k.last_day = b.last_day AND k.orders = b.capped
                AND k.monetary >= b.revenue AND k.customers > 0
        ) AS monetary
        FROM (
            SELECT c.shop, c.last_day, c.orders, c.revenue,
                CASE WHEN c.orders > 32 THEN 32 ELSE c.orders END AS capped,
                CASE WHEN c.last_day - c.first_day <= 30 THEN 1 ELSE 0 END AS newcomer
            FROM rfm_customer c WHERE c.orders > 0
        ) b
    ) a
    GROUP BY shop, last_day, capped, newcomer, monetary
"""


def upgrade() -> None:
    op.rename_table("rfm_cell", "rfm_cell_before")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER INDEX rfm_cell_pkey RENAME TO rfm_cell_before_pkey")
    create_cells(
        "rfm_cell",
        [text("shop"), *(integer(name) for name in ("last_day", "orders", "newcomer", "monetary"))],
        ["customers", "order_count", "revenue"],
    )
    op.execute(REFILL)
    op.drop_table("rfm_cell_before")
