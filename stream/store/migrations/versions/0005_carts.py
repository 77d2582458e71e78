"""Abandoned carts: checkouts, what links them to customers and carts, and the cells."""

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.cells import create_cells
from stream.store.migrations.columns import integer, text

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "cart_checkout",
        text("shop"),
        text("token"),
        integer("updated_us"),
        *(text(name) for name in ("triggered", "digest", "cart_token", "customer")),
        integer("contact"),
        text("currency"),
        integer("value"),
        text("recovery_url"),
        *(integer(name) for name in ("value_bin", "created_ms")),
        text("runs"),
        *(integer(name) for name in ("completed_ms", "deleted", "order_ms")),
        text("order_version"),
        *(integer(name) for name in ("revenue", "first_order_ms")),
        text("customer_orders"),
        integer("cart_order_ms"),
        text("cart_orders"),
        *(integer(name) for name in ("cart_deleted_ms", "after_minutes")),
        text("state"),
        *(
            integer(name)
            for name in ("idled", "closed_ms", "last_ms", "open_bucket", "is_returning")
        ),
        sa.PrimaryKeyConstraint("shop", "token"),
    )
    # An order finds the customer's checkouts, and its cart's.
    op.create_index("cart_checkout_customer", "cart_checkout", ["shop", "customer", "token"])
    op.create_index("cart_checkout_cart_token", "cart_checkout", ["shop", "cart_token", "token"])
    # What is forgotten, and what is too young for the abandonment rate.
    op.create_index("cart_checkout_created", "cart_checkout", ["shop", "created_ms"])
    # What expires, what lies on the edge between two states, and the open carts of one cell.
    where = sa.text("open_bucket >= 0")
    op.create_index(
        "cart_checkout_open",
        "cart_checkout",
        ["open_bucket", "shop", "value_bin"],
        sqlite_where=where,
        postgresql_where=where,
    )
    op.create_table(
        "cart_link",
        *(text(name) for name in ("shop", "subject")),
        integer("first_order_ms"),
        text("orders"),
        *(integer(name) for name in ("deleted_ms", "begun_ms")),
        text("checkout"),
        integer("kept_from_ms"),
        sa.PrimaryKeyConstraint("shop", "subject"),
        sqlite_with_rowid=False,
    )
    where = sa.text("kept_from_ms >= 0")
    op.create_index(
        "cart_link_kept_from",
        "cart_link",
        ["kept_from_ms"],
        sqlite_where=where,
        postgresql_where=where,
    )
    shop_currency = ("shop", "currency")
    create_cells(
        "cart_open",
        [
            *(text(name) for name in shop_currency),
            *(integer(n) for n in ("bucket", "value_bin", "is_returning", "contact", "idled")),
        ],
        ["carts", "value"],
    )
    create_cells(
        "cart_closed",
        [
            *(text(name) for name in (*shop_currency, "state")),
            *(integer(name) for name in ("value_bin", "is_returning", "contact")),
        ],
        ["carts", "value", "orders", "ordered", "revenue", "idled"],
    )
    create_cells(
        "cart_spell",
        [
            *(text(name) for name in shop_currency),
            *(integer(name) for name in ("value_bin", "is_returning", "age")),
        ],
        ["completed", "censored"],
    )
    create_cells(
        "cart_cohort",
        [*(text(name) for name in shop_currency), *(integer(name) for name in ("hour", "outcome"))],
        ["carts"],
    )
    create_cells("cart_begun", [text("shop")], ["carts", "reached"])
