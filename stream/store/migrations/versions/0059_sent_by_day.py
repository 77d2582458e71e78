"""What was sent by the day of its orders, filled from the rows that are there and their orders."""

import time

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.cells import create_cells
from stream.store.migrations.columns import integer, text

revision = "0059"
down_revision = "0058"
DAY_MS = 86_400_000
_OF_ORDER = "FROM shop_order o WHERE o.shop = outbox.shop AND o.order_id = outbox.order_id"
_UNKNOWN_BEFORE = f"""
UPDATE destination_account SET sent_since_day = 2 + COALESCE((
  SELECT MIN(b.received_ms) FROM outbox b WHERE b.shop = destination_account.shop
  AND b.destination = destination_account.destination AND b.outcome = 'sent'), :now) / {DAY_MS}
WHERE EXISTS (
  SELECT 1 FROM outbox_past_cell p WHERE p.shop = destination_account.shop
  AND p.destination = destination_account.destination AND p.outcome = 'sent' AND p.events > 0)
"""
"""Rows are deleted by the time of their delivery: what came a day after the oldest one that is left
is all there."""


def upgrade() -> None:
    op.add_column("outbox", integer("day", nullable=True))
    op.add_column("outbox", sa.Column("currency", sa.Text, nullable=False, server_default=""))
    op.add_column("outbox", integer("value", server_default="0"))
    op.add_column("destination_account", integer("sent_since_day", nullable=True))
    for table in ("outbox_day_cell", "outbox_past_day_cell"):
        key = (text("shop"), text("destination"), text("event_name"), integer("day"))
        create_cells(table, (*key, text("currency")), ("events", "value"))
    op.execute(
        f"UPDATE outbox SET day = (SELECT o.day {_OF_ORDER}),"
        f" currency = (SELECT o.currency {_OF_ORDER}), value = (SELECT o.total {_OF_ORDER})"
        f" WHERE EXISTS (SELECT 1 {_OF_ORDER})"
    )
    # More than one order may count (0061): sums of such would pass 64 bits.
    op.execute("UPDATE outbox SET value = 0 WHERE value > 100000000000000")
    op.execute(
        "INSERT INTO outbox_day_cell (shop, destination, event_name, day, currency, events, value)"
        " SELECT shop, destination, event_name, day, currency, COUNT(*), SUM(value) FROM outbox"
        " WHERE outcome = 'sent' AND day IS NOT NULL"
        " GROUP BY shop, destination, event_name, day, currency"
    )
    op.execute(sa.text(_UNKNOWN_BEFORE).bindparams(now=time.time_ns() // 1_000_000))
