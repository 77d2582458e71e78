"""Array literals mean to PostgreSQL what was in the column."""

from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.store.sql.arrays import literal

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
INTEGERS = st.integers(-(2**63), 2**63 - 1)
COLUMNS = {"text": TEXTS, "int8": INTEGERS, "bytea": st.binary()}


def read_back(connection: "psycopg.Connection[Any]", kind: str, column: list[Any]) -> list[Any]:
    sql = f"SELECT v FROM unnest(%s::{kind}[]) WITH ORDINALITY AS a(v, n) ORDER BY n"
    return [row[0] for row in connection.execute(sql, (literal(kind, column),))]


@pytest.mark.parametrize("kind", sorted(COLUMNS))
def test_a_column_is_read_back_as_it_was(kind: str, postgres_url: str) -> None:
    columns = st.lists(st.one_of(COLUMNS[kind], COLUMNS[kind], st.none()), min_size=1)

    @given(columns)
    @settings(max_examples=200, deadline=None)
    def check(column: list[Any]) -> None:
        assert read_back(connection, kind, column) == column

    with psycopg.connect(postgres_url) as connection:
        check()


@pytest.mark.parametrize("text", ["", "NULL", "null", '"', "\\", '","', "{}", "a,b", " x ", "\n"])
def test_a_text_that_means_something_in_a_literal_is_only_a_text(
    text: str, postgres_url: str
) -> None:
    with psycopg.connect(postgres_url) as connection:
        for column in ([text], [text, text], ["a", text, "b"], [text, None]):
            assert read_back(connection, "text", column) == column
