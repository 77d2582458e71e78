"""CAPI: the outbox (ledger, queue, dead letters and order status in one), pixels, clicks first seen, and the cells of the outbox.

The three indexes over rows that still want something are partial, so that claiming costs what is claimed, whatever the ledger's size.
"""

import sqlalchemy as sa
from alembic import op

from stream.migrations.cells import create_cells

revision = "0004"
down_revision = "0003"


def _text(name: str) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, nullable=False)


def _integer(name: str, *, nullable: bool = False) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger, nullable=nullable)


def _partial_index(name: str, columns: list[str], where: str) -> None:
    op.create_index(name, "capi_outbox", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def upgrade() -> None:
    op.create_table(
        "capi_outbox",
        *(_text(name) for name in ("shop", "pixel_id", "event_name", "event_id", "order_id")),
        _integer("updated_us"),
        *(_text(name) for name in ("triggered", "digest", "outcome", "reason")),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        _text("match_keys"),
        *(_integer(name) for name in ("event_time_s", "received_ms", "sent_ms")),
        *(_integer(name, nullable=True) for name in ("due_ms", "expires_ms", "ambiguous_ms")),
        _text("claimed_by"),
        _integer("tries"),
        _text("attempts"),
        sa.PrimaryKeyConstraint("shop", "pixel_id", "event_name", "event_id"),
    )
    op.create_index("capi_outbox_order", "capi_outbox", ["shop", "order_id"])
    _partial_index("capi_outbox_due", ["shop", "pixel_id", "outcome", "due_ms"], "due_ms IS NOT NULL")
    _partial_index("capi_outbox_age", ["shop", "pixel_id", "event_time_s"], "due_ms IS NOT NULL")
    _partial_index("capi_outbox_expires", ["expires_ms"], "expires_ms IS NOT NULL")
    op.create_table(
        "capi_pixel",
        *(_text(name) for name in ("shop", "pixel_id")),
        _integer("paused_since_ms", nullable=True),
        *(_text(name) for name in ("paused_class", "paused_code", "paused_message")),
        *(_integer(name) for name in ("next_probe_ms", "probes", "throttled_until_ms")),
        _text("test_code"),
        _integer("test_since_ms"),
        _text("quality"),
        _integer("quality_ms"),
        sa.PrimaryKeyConstraint("shop", "pixel_id"),
    )
    op.create_table(
        "capi_click",
        *(_text(name) for name in ("shop", "click")),
        _integer("seen_ms"),
        sa.PrimaryKeyConstraint("shop", "click"),
        sqlite_with_rowid=False,
    )
    op.create_index("capi_click_seen", "capi_click", ["seen_ms"])
    create_cells("capi_cell", [_text(name) for name in ("shop", "pixel_id", "kind", "name")], ["events"])
