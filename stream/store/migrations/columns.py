"""The columns that tables are made of: texts, and integers of 64 bits. A value that is not known
has a value of its own, seldom NULL."""

import sqlalchemy as sa


def text(name: str) -> "sa.Column[str]":
    """TEXT NOT NULL."""
    return sa.Column(name, sa.Text, nullable=False)


def integer(
    name: str, *, nullable: bool = False, server_default: str | None = None
) -> "sa.Column[int]":
    """BIGINT, NOT NULL where nothing else is said."""
    return sa.Column(name, sa.BigInteger, nullable=nullable, server_default=server_default)
