"""Keeps known buyers by the page, not a row each (`processors/checkouts/known_pages.py`)."""

from array import array
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.columns import integer

revision = "0071"
down_revision = "0070"
LEAST_MARK = -(1 << 63)
BUYERS = 64
"""A page takes up to 96."""
READ = sa.text("SELECT shop_mark, mark, first_order_ms FROM known_buyer ORDER BY shop_mark, mark")


def upgrade() -> None:
    pages = op.create_table(
        "known_buyer_page",
        integer("shop_mark"),
        integer("first_mark"),
        *(sa.Column(name, sa.LargeBinary, nullable=False) for name in ("marks", "first_orders_ms")),
        sa.PrimaryKeyConstraint("shop_mark", "first_mark"),
    )
    connection = op.get_bind()
    rows = connection.execute(READ).yield_per(10_000)
    for shop_mark, its_rows in groupby(rows, attrgetter("shop_mark")):
        first_mark: int | None = LEAST_MARK
        for buyers in _portions(its_rows):
            page = {
                "shop_mark": shop_mark,
                "first_mark": buyers[0].mark if first_mark is None else first_mark,
                "marks": array("q", [row.mark for row in buyers]).tobytes(),
                "first_orders_ms": array("q", [row.first_order_ms for row in buyers]).tobytes(),
            }
            connection.execute(sa.insert(pages), page)
            first_mark = None
    op.drop_table("known_buyer")


def _portions(rows: Iterator[Any]) -> Iterator[Sequence[Any]]:
    portion: list[Any] = []
    for row in rows:
        portion.append(row)
        if len(portion) == BUYERS:
            yield portion
            portion = []
    if portion:
        yield portion
