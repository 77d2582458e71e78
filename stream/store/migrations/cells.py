"""How a migration makes a table of cells: key columns and integer measures."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from stream.store.migrations.columns import integer


def create_cells(
    table: str, key: Sequence[sa.Column[int] | sa.Column[str]], measures: Sequence[str]
) -> None:
    """Create `table`; the key columns are its primary key, measures begin at 0."""
    op.create_table(
        table,
        *key,
        *(integer(name, server_default="0") for name in measures),
        sa.PrimaryKeyConstraint(*(column.name for column in key)),
        sqlite_with_rowid=False,
    )
