"""CAPI: what a later delivery forbids while its event is on its way, and test mode that is bounded whatever its code."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("capi_outbox", sa.Column("veto", sa.Text, nullable=False, server_default=""))
    op.add_column("capi_pixel", sa.Column("test_seen_ms", sa.BigInteger, nullable=False, server_default="0"))
    op.execute("UPDATE capi_pixel SET test_seen_ms = test_since_ms")
    op.drop_column("capi_pixel", "test_code")
