"""One row of facts per order, from the rows of RFM and of budgets; states of projections."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote_plus

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.cells import create_cells
from stream.store.migrations.columns import integer, text

revision = "0015"
down_revision = "0014"
PAGE = 5_000
DAY_MS = 86_400_000
TEXTS = (
    *("refunds", "customer", "email", "checkout_token", "cart_token", "name", "source_name"),
    *("country", "province", "landing"),
)


def _key_text(name: str) -> "sa.Column[str]":
    """A text of a key that is paged through: it sorts by code point on both databases."""
    postgres = op.get_bind().dialect.name == "postgresql"
    return sa.Column(name, sa.Text(collation="C") if postgres else sa.Text, nullable=False)


def upgrade() -> None:
    # RFM and budgets may have read to different places. Where their rows of an order differ, or one
    # of them has none, the order counts as not seen yet: the one processor of orders begins where
    # the slowest stood and reads it again, and both aggregates are rebuilt from the facts.
    op.create_table(
        "shop_order",
        text("shop"),
        _key_text("order_id"),
        integer("updated_us"),
        *(text(name) for name in ("triggered", "digest")),
        *(integer(name) for name in ("deleted", "test", "cancelled")),
        text("financial_status"),
        *(integer(name) for name in ("processed_ms", "offset_s", "day")),
        text("currency"),
        *(integer(name) for name in ("total", "current_total")),
        *(text(name) for name in TEXTS),
        sa.Column("detail", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("shop", "order_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("shop_order_name", "shop_order", ["shop", "name"])
    op.create_table(
        "order_shop",
        text("shop"),
        *(integer(name) for name in ("offset_day", "offset_s")),
        sa.PrimaryKeyConstraint("shop"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "projection",
        *(text(name) for name in ("shop", "name")),
        *(integer(name) for name in ("version", "live", "building", "building_version")),
        text("cursor"),
        *(integer(name) for name in ("counted", "stale", "started_ms")),
        sa.PrimaryKeyConstraint("shop", "name"),
        sqlite_with_rowid=False,
    )
    create_cells("order_currency_cell", [text("shop"), text("currency")], ["orders"])
    op.execute("INSERT INTO order_shop SELECT shop, offset_day, offset_s FROM rfm_shop")
    for column in ("offset_day", "offset_s"):
        op.drop_column("rfm_shop", column)
    op.rename_table("rfm_alias", "customer_alias")
    op.drop_index("rfm_alias_kept", "customer_alias")
    op.create_index("customer_alias_kept", "customer_alias", ["shop", "kept"])
    together = _orders()
    _projections("rfm", "rfm_order", together)
    _projections("budget", "budget_order", together)
    _projections("budget", "budget_spend", together)
    _projections("carts", "cart_checkout", True)
    _projections("carts", "cart_link", True)
    _projections("currency", "shop_order", True)
    op.execute(
        "INSERT INTO order_currency_cell (shop, currency, orders)"
        " SELECT shop, currency, COUNT(*) FROM shop_order WHERE updated_us >= 0 AND deleted = 0"
        " AND test = 0 AND cancelled = 0 GROUP BY shop, currency"
    )
    _positions()
    for table in ("rfm_order", "budget_order", "rfm_currency_cell"):
        op.drop_table(table)
    _short_hashes()
    if op.get_bind().dialect.name == "postgresql":
        for table, columns in {
            "cart_checkout": ["token"],
            "cart_link": ["subject"],
            "budget_spend": ["channel", "campaign"],
        }.items():
            for column in columns:
                op.execute(f'ALTER TABLE {table} ALTER COLUMN {column} TYPE text COLLATE "C"')


def _orders() -> bool:
    """Fill `shop_order`. False where the two rows of some order were not of one version."""
    connection, together = op.get_bind(), True
    insert = sa.text(
        "INSERT INTO shop_order (shop, order_id, updated_us, triggered, digest, deleted, test,"
        " cancelled, financial_status, processed_ms, offset_s, day, currency, total,"
        f" current_total, {', '.join(TEXTS)}, detail) VALUES (:shop, :order_id, :updated_us,"
        " :triggered, :digest, :deleted, 0, :cancelled, '', :processed_ms, 0, :day, :currency,"
        f" :total, :current_total, {', '.join(f':{name}' for name in TEXTS)}, :detail)"
    )
    for page in _both():
        rows = []
        for rfm, budget in page:
            known = rfm or budget
            same = rfm is not None and budget is not None
            same = same and (rfm[3:6] == budget[3:6])
            together = together and same
            rows.append(_row(known, rfm, budget, same))
        connection.execute(insert, rows)
    return together


def _both() -> Iterator[list[tuple[Any, Any]]]:
    """Rows of `rfm_order` and `budget_order` side by side, None where one has none."""
    connection = op.get_bind()
    columns = (
        "shop, order_id, subject, updated_us, triggered, digest, deleted, valid, day, currency,"
        " total, current_total, refunds"
    )
    keys = sa.text(
        "SELECT shop, order_id FROM rfm_order UNION SELECT shop, order_id FROM budget_order"
    )
    wanted = [tuple(row) for row in connection.execute(keys)]
    for start in range(0, len(wanted), PAGE):
        page = wanted[start : start + PAGE]
        found = []
        for table in ("rfm_order", "budget_order"):
            rows: dict[tuple[str, str], Any] = {}
            by_shop: dict[str, list[str]] = {}
            for shop, order_id in page:
                by_shop.setdefault(shop, []).append(order_id)
            for shop, ids in by_shop.items():
                sql = sa.text(
                    f"SELECT {columns} FROM {table} WHERE shop = :shop AND order_id IN :ids"
                ).bindparams(sa.bindparam("ids", expanding=True))
                for row in connection.execute(sql, {"shop": shop, "ids": ids}):
                    rows[row[0], row[1]] = row
            found.append(rows)
        yield [(found[0].get(key), found[1].get(key)) for key in page]


def _row(known: Any, rfm: Any, budget: Any, same: bool) -> dict[str, Any]:
    customer = rfm.subject if rfm is not None else ""
    return {
        "shop": known.shop,
        "order_id": known.order_id,
        "updated_us": known.updated_us if same else -1,
        "triggered": known.triggered if same else "",
        "digest": known.digest if same else "",
        "deleted": max(row.deleted for row in (rfm, budget) if row is not None),
        "cancelled": int(not known.valid and known.updated_us >= 0),
        "processed_ms": known.day * DAY_MS,
        "day": known.day,
        "currency": known.currency,
        "total": known.total,
        "current_total": known.current_total,
        **dict.fromkeys(TEXTS, ""),
        "refunds": known.refunds,
        "customer": customer,
        "email": customer[2:] if customer.startswith("g:") else "",
        "landing": _landing(budget.subject) if budget is not None else "",
        "detail": b"",
    }


def _landing(subject: str) -> str:
    """A landing site that is attributed as the old row was."""
    channel, campaign_id, campaign = [*subject.split("\t"), "", "", ""][:3]
    if channel == "(direct)":
        return "/"
    named = {"utm_source": channel, "utm_id": campaign_id, "utm_campaign": campaign}
    if channel == "(none)" or not any(named.values()):
        return ""
    return "/?" + "&".join(f"{name}={quote_plus(value)}" for name, value in named.items() if value)


def _projections(name: str, table: str, together: bool) -> None:
    """Every shop's state: counted by version 1, or never, which has it rebuilt."""
    op.execute(
        sa.text(
            "INSERT INTO projection (shop, name, version, live, building, building_version,"
            " cursor, counted, stale, started_ms)"
            f" SELECT DISTINCT e.shop, :name, :version, 0, -1, 0, '', 0, -1, 0 FROM {table} e"
            " WHERE NOT EXISTS"
            " (SELECT 1 FROM projection p WHERE p.shop = e.shop AND p.name = :name)"
        ).bindparams(name=name, version=1 if together else 0)
    )


def _positions() -> None:
    """The one processor of orders begins where the slowest of the three stood."""
    old = "('rfm', 'budget_orders', 'carts_orders')"
    op.execute(
        "INSERT INTO positions (processor, topic, partition, next, records, event_time_ms)"
        " SELECT 'orders', topic, partition, MIN(next), MIN(records), MIN(event_time_ms)"
        f" FROM positions WHERE processor IN {old} GROUP BY topic, partition HAVING COUNT(*) = 3"
    )
    op.execute(f"DELETE FROM positions WHERE processor IN {old}")


def _short_hashes() -> None:
    """Carts know a guest by the same 32 hex digits as orders do."""
    for table, column in (("cart_link", "subject"), ("cart_checkout", "customer")):
        op.execute(
            f"UPDATE {table} SET {column} = substr({column}, 1, 38)"
            f" WHERE {column} LIKE 'email:%' AND length({column}) > 38"
        )
