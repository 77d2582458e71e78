"""Cells hold whole numbers only; orders beyond what one may count are not counted.

A sum beyond 64 bits becomes a float on SQLite, unless the table is strict. Shops with such sums, or
with amounts that would be parked today, are counted anew from their orders.
"""

import re

import sqlalchemy as sa
from alembic import op

revision = "0061"
down_revision = "0060"

MOST = 10**14
CELLS = (
    *("rfm_cell", "rfm_last_day_cell", "rfm_btyd_cell", "rfm_spend_cell", "rfm_left_out_cell"),
    *("day_cell", "cohort_cell", "budget_cell", "order_currency_cell"),
    *("cart_open", "cart_closed", "cart_spell", "cart_landmark", "cart_cohort", "cart_begun"),
    *("outbox_cell", "outbox_past_cell", "outbox_day_cell", "outbox_past_day_cell", "parked_cell"),
)
TOO_LARGE = {
    "shop_order": "total > :most OR current_total > :most",
    "cart_checkout": "value > :most OR revenue > :most",
    "budget_spend": "spend > :most OR platform_revenue > :most",
}
"""Their next delivery is parked; until then the order counts as not seen yet."""
FORGET = {
    "shop_order": "UPDATE shop_order SET updated_us = -1, triggered = '', digest = '', total = 0,"
    " current_total = 0, refunds = ''",
    "cart_checkout": "UPDATE cart_checkout SET value = 0, value_bin = 0, revenue = -1,"
    " revenue_currency = ''",
    "budget_spend": "DELETE FROM budget_spend",
}


def upgrade() -> None:
    connection = op.get_bind()
    shops: set[str] = set()
    for table, where in TOO_LARGE.items():
        found = connection.execute(
            sa.text(f"SELECT DISTINCT shop FROM {table} WHERE {where}"), {"most": MOST}
        ).fetchall()
        if found:
            connection.execute(sa.text(f"{FORGET[table]} WHERE {where}"), {"most": MOST})
            shops |= {row[0] for row in found}
    if connection.dialect.name == "sqlite":
        for table in CELLS:
            shops |= _strict(connection, table)
    for shop in sorted(shops):
        connection.execute(
            sa.text("UPDATE projection SET version = 0 WHERE shop = :shop"), {"shop": shop}
        )


def _strict(connection: sa.Connection, table: str) -> set[str]:
    """Make the table anew, strict; returns the shops with cells that were no whole numbers."""
    (made,) = connection.exec_driver_sql(
        "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)
    ).one()
    if str(made).rstrip().endswith("STRICT"):
        return set()
    columns = connection.exec_driver_sql(f"PRAGMA table_info({table})").fetchall()
    whole = " AND ".join(f"typeof({c.name}) = 'integer'" for c in columns if c.type == "BIGINT")
    bad = connection.exec_driver_sql(f"SELECT DISTINCT shop FROM {table} WHERE NOT ({whole})")
    shops = {row[0].partition("#")[0] for row in bad}
    names = ", ".join(column.name for column in columns)
    before = f"{table}_before"
    connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO {before}")
    connection.exec_driver_sql(re.sub(r"\bBIGINT\b", "INTEGER", str(made).rstrip()) + ", STRICT")
    connection.exec_driver_sql(
        f"INSERT INTO {table} ({names}) SELECT {names} FROM {before} WHERE {whole}"
    )
    connection.exec_driver_sql(f"DROP TABLE {before}")
    return shops
