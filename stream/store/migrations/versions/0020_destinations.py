"""Tables of the outbox that know no vendor: rows and cells go by the account's name.

A shop's pixel becomes its account `meta`. Of several pixels that is the one whose events came last;
the others keep their rows as `meta-<pixel id>`, which no account sends. Time-outs of rows, and when
they shrink and go: `destinations/delivery/life.py`.
"""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.cells import create_cells
from stream.store.migrations.columns import integer, text

revision = "0020"
down_revision = "0015"

FULL_MS = 30 * 86_400_000
OUTBOX = (
    "event_name, event_id, order_id, updated_us, triggered, digest, outcome, reason, payload,"
    " match_keys, event_time_s, received_ms, sent_ms, due_ms, expires_ms, ambiguous_ms, claimed_by,"
    " tries, attempts, veto"
)


def upgrade() -> None:
    _create()
    _name_accounts()
    of_account = "JOIN capi_account a ON a.shop = o.shop AND a.pixel_id = o.pixel_id"
    columns = ", ".join(f"o.{name}" for name in OUTBOX.split(", "))
    op.execute(
        f"INSERT INTO outbox (shop, destination, {OUTBOX}, tidy_ms)"
        f" SELECT o.shop, a.destination, {columns},"
        f" CASE WHEN o.due_ms IS NULL THEN o.received_ms + {FULL_MS} END"
        f" FROM capi_outbox o {of_account}"
    )
    op.execute(
        "INSERT INTO outbox_cell (shop, destination, kind, name, events)"
        f" SELECT o.shop, a.destination, o.kind, o.name, o.events FROM capi_cell o {of_account}"
    )
    op.execute(
        "INSERT INTO destination_account (shop, destination, kind, account, paused_since_ms, "
        "paused_class, paused_code, paused_message, paused_by, next_probe_ms, probes, "
        "throttled_until_ms, failing_cause) SELECT o.shop, a.destination, 'meta', o.pixel_id, "
        "o.paused_since_ms, o.paused_class, o.paused_code, o.paused_message, "
        "CASE WHEN o.paused_since_ms IS NULL THEN '' WHEN o.paused_code = 'test_event_code' THEN "
        "'rule' ELSE 'answer' END, CASE WHEN o.next_probe_ms > 0 THEN o.next_probe_ms END, "
        f"o.probes, o.throttled_until_ms, '' FROM capi_pixel o {of_account}"
    )
    op.execute(
        "INSERT INTO meta_account (shop, destination, test_since_ms, test_seen_ms, quality, "
        "quality_ms) SELECT o.shop, a.destination, o.test_since_ms, o.test_seen_ms, o.quality, "
        f"o.quality_ms FROM capi_pixel o {of_account}"
    )
    op.execute(
        "INSERT INTO meta_click (shop, click, seen_ms) SELECT shop, click, seen_ms FROM capi_click"
    )
    for table in ("capi_account", "capi_outbox", "capi_cell", "capi_pixel", "capi_click"):
        op.drop_table(table)
    # After the rows are there: one sort instead of an insertion for each.
    _index()


def _name_accounts() -> None:
    """The account of each pixel's rows, in a table that exists during this migration only."""
    op.create_table("capi_account", text("shop"), text("pixel_id"), text("destination"))
    connection = op.get_bind()
    newest: dict[str, dict[str, int]] = {}
    for table, seen in (
        ("capi_cell", "0"),
        ("capi_pixel", "1"),
        ("capi_outbox", "MAX(received_ms)"),
    ):
        for shop, pixel_id, at in connection.execute(
            sa.text(f"SELECT shop, pixel_id, {seen} FROM {table} GROUP BY shop, pixel_id")
        ):
            pixels = newest.setdefault(shop, {})
            pixels[pixel_id] = max(at, pixels.get(pixel_id, 0))
    for shop, pixels in newest.items():
        last = max(pixels, key=lambda pixel_id: (pixels[pixel_id], pixel_id))
        for pixel_id in pixels:
            name = "meta" if pixel_id == last else f"meta-{pixel_id}"
            connection.execute(
                sa.text("INSERT INTO capi_account VALUES (:shop, :pixel_id, :name)"),
                {"shop": shop, "pixel_id": pixel_id, "name": name},
            )


def _create() -> None:
    def account() -> list["sa.Column[str]"]:
        return [text("shop"), text("destination")]

    op.create_table(
        "outbox",
        *account(),
        *(text(name) for name in ("event_name", "event_id", "order_id")),
        integer("updated_us"),
        *(text(name) for name in ("triggered", "digest", "outcome", "reason")),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        text("match_keys"),
        *(integer(name) for name in ("event_time_s", "received_ms", "sent_ms")),
        *(integer(name, nullable=True) for name in ("due_ms", "expires_ms", "ambiguous_ms")),
        text("claimed_by"),
        integer("tries"),
        text("attempts"),
        text("veto"),
        integer("tidy_ms", nullable=True),
        sa.PrimaryKeyConstraint("shop", "destination", "event_name", "event_id"),
    )
    op.create_table(
        "destination_account",
        *account(),
        *(text(name) for name in ("kind", "account")),
        integer("paused_since_ms", nullable=True),
        *(text(name) for name in ("paused_class", "paused_code", "paused_message", "paused_by")),
        integer("next_probe_ms", nullable=True),
        *(integer(name) for name in ("probes", "throttled_until_ms")),
        integer("failing_since_ms", nullable=True),
        text("failing_cause"),
        sa.PrimaryKeyConstraint("shop", "destination"),
    )
    op.create_table(
        "meta_account",
        *account(),
        *(integer(name) for name in ("test_since_ms", "test_seen_ms")),
        text("quality"),
        integer("quality_ms"),
        sa.PrimaryKeyConstraint("shop", "destination"),
    )
    op.create_table(
        "meta_click",
        *(text(name) for name in ("shop", "click")),
        integer("seen_ms"),
        sa.PrimaryKeyConstraint("shop", "click"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "outbox_mark",
        *account(),
        *(integer(name) for name in ("mark", "until_ms")),
        sa.PrimaryKeyConstraint("shop", "destination", "mark"),
        sqlite_with_rowid=False,
    )
    names = ("shop", "destination", "kind", "name")
    create_cells("outbox_cell", [text(name) for name in names], ["events"])
    create_cells(
        "outbox_past_cell",
        [text(name) for name in ("shop", "destination", "outcome")],
        ["events"],
    )


def _index() -> None:
    """All but the one by order hold only the rows that still want something: claiming costs what is
    claimed."""
    op.create_index("outbox_order", "outbox", ["shop", "order_id"])
    _partial("outbox_other_id", ["shop", "destination", "order_id"], "event_id <> order_id")
    _partial("outbox_due", ["shop", "destination", "outcome", "due_ms"], "due_ms IS NOT NULL")
    _partial("outbox_age", ["shop", "destination", "event_time_s"], "due_ms IS NOT NULL")
    _partial("outbox_expires", ["expires_ms"], "expires_ms IS NOT NULL")
    _partial("outbox_tidy", ["tidy_ms"], "tidy_ms IS NOT NULL")
    op.create_index("meta_click_seen", "meta_click", ["seen_ms"])
    op.create_index("outbox_mark_until", "outbox_mark", ["until_ms"])


def _partial(name: str, columns: list[str], where: str) -> None:
    op.create_index(
        name, "outbox", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
    )
