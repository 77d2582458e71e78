"""CAPI: what a later delivery forbids while its event is on its way, and test mode that is bounded
whatever its code.

The index is empty where event ids always were order ids, so asking whether any is not costs one
probe.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("capi_outbox", sa.Column("veto", sa.Text, nullable=False, server_default=""))
    where = sa.text("event_id <> order_id")
    op.create_index(
        "capi_outbox_other_id",
        "capi_outbox",
        ["shop", "order_id"],
        sqlite_where=where,
        postgresql_where=where,
    )
    op.add_column(
        "capi_pixel", sa.Column("test_seen_ms", sa.BigInteger, nullable=False, server_default="0")
    )
    op.execute("UPDATE capi_pixel SET test_seen_ms = test_since_ms")
    op.drop_column("capi_pixel", "test_code")
