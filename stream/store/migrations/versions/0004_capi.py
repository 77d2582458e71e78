"""CAPI: the outbox (ledger, queue, dead letters and order status in one), pixels, clicks first
seen, and the cells of the outbox.

The three indexes over rows that still want something are partial, so that claiming costs what is
claimed, whatever the ledger's size.
"""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.cells import create_cells
from stream.store.migrations.columns import integer, text

revision = "0004"
down_revision = "0003"


def _partial_index(name: str, columns: list[str], where: str) -> None:
    op.create_index(
        name, "capi_outbox", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
    )


def upgrade() -> None:
    op.create_table(
        "capi_outbox",
        *(text(name) for name in ("shop", "pixel_id", "event_name", "event_id", "order_id")),
        integer("updated_us"),
        *(text(name) for name in ("triggered", "digest", "outcome", "reason")),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        text("match_keys"),
        *(integer(name) for name in ("event_time_s", "received_ms", "sent_ms")),
        *(integer(name, nullable=True) for name in ("due_ms", "expires_ms", "ambiguous_ms")),
        text("claimed_by"),
        integer("tries"),
        text("attempts"),
        sa.PrimaryKeyConstraint("shop", "pixel_id", "event_name", "event_id"),
    )
    op.create_index("capi_outbox_order", "capi_outbox", ["shop", "order_id"])
    _partial_index(
        "capi_outbox_due", ["shop", "pixel_id", "outcome", "due_ms"], "due_ms IS NOT NULL"
    )
    _partial_index("capi_outbox_age", ["shop", "pixel_id", "event_time_s"], "due_ms IS NOT NULL")
    _partial_index("capi_outbox_expires", ["expires_ms"], "expires_ms IS NOT NULL")
    op.create_table(
        "capi_pixel",
        *(text(name) for name in ("shop", "pixel_id")),
        integer("paused_since_ms", nullable=True),
        *(text(name) for name in ("paused_class", "paused_code", "paused_message")),
        *(integer(name) for name in ("next_probe_ms", "probes", "throttled_until_ms")),
        text("test_code"),
        integer("test_since_ms"),
        text("quality"),
        integer("quality_ms"),
        sa.PrimaryKeyConstraint("shop", "pixel_id"),
    )
    op.create_table(
        "capi_click",
        *(text(name) for name in ("shop", "click")),
        integer("seen_ms"),
        sa.PrimaryKeyConstraint("shop", "click"),
        sqlite_with_rowid=False,
    )
    op.create_index("capi_click_seen", "capi_click", ["seen_ms"])
    create_cells(
        "capi_cell", [text(name) for name in ("shop", "pixel_id", "kind", "name")], ["events"]
    )
