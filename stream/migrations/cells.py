"""How a migration makes a table of cells: key columns and integer measures."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op


def create_cells(table: str, key: Sequence[sa.Column[int] | sa.Column[str]], measures: Sequence[str]) -> None:
    """Create `table`; measures are BIGINT NOT NULL, the key columns (made NOT NULL) are the primary key."""
    for column in key:
        column.nullable = False
    op.create_table(
        table,
        *key,
        *(sa.Column(name, sa.BigInteger, nullable=False, server_default="0") for name in measures),
        sa.PrimaryKeyConstraint(*(column.name for column in key)),
        sqlite_with_rowid=False,
    )
