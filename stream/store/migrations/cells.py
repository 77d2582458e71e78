"""How a migration makes a table of cells: key columns and integer measures."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.columns import integer


def create_cells(
    table: str, key: Sequence[sa.Column[int] | sa.Column[str]], measures: Sequence[str]
) -> None:
    """Create `table`; the key columns are its primary key, measures begin at 0.

    Strict on SQLite, where a sum beyond 64 bits would become a float without a word.
    """
    columns = [*key, *(integer(name, server_default="0") for name in measures)]
    for column in columns:
        if isinstance(column.type, sa.BigInteger):  # Strict tables know INTEGER only.
            column.type = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
    op.create_table(
        table,
        *columns,
        sa.PrimaryKeyConstraint(*(column.name for column in key)),
        sqlite_with_rowid=False,
        sqlite_strict=True,
    )
