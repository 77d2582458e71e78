"""Stores that programs between 0013 and today wrote are upgraded with every row, and each migration
meets rows in what it alters."""

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from aggregates.manifest import FoldSettings
from aggregates.registry import projections
from processors.engine import rebuild
from simulator.proof.sums import CELLS, cells_differ
from stream.store.sql.dialect import dialect_of
from stream.store.sql.store import SqlStore
from tests.stream.store.test_upgrade import (
    NOW_MS,
    SHOP,
    STORED,
    numbers,
    of_table,
    stored,
    url,
    value,
    write,
)

__all__ = ["url"]
REVISIONS = sorted(path.name.partition(".")[0] for path in STORED.glob("*.json.gz"))
EMPTY = {"rfm_spend_cell"}
"""What a shop of few customers has no rows in; the store of 0013 has some."""
MOVED = {"rfm_customer_day": "0067", "day_customer_month": "0068", "known_buyer": "0071"}
"""Tables whose rows a migration moves into another table, which has a test of its own."""
RENAMED = {("customer_alias", "told"): "was_deleted", ("alert", "told"): "notified"}
"""By table and column: the name that the column has since 0072."""


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_table_of_a_stored_store_has_rows(revision: str) -> None:
    found = {table for table, rows in stored(revision).items() if not rows}
    assert found <= (EMPTY if revision > "0013" else set())


@pytest.mark.parametrize("revision", [each for each in REVISIONS if each > "0013"])
def test_every_row_outlives_the_upgrade_and_a_rebuild_counts_the_same(
    url: str, revision: str
) -> None:
    before = stored(revision)
    write(url, before, revision)
    store = SqlStore.open(url)
    try:
        for table, rows in before.items():
            if rows and revision >= MOVED.get(table, ""):
                columns = [RENAMED.get((table, name), name) for name in rows[0]]
                kept = [dict(zip(columns, map(value, row.values()), strict=True)) for row in rows]
                assert numbers(of_table(store, table), columns) == numbers(kept, columns), table
        counted = cells(store)
        with store.snapshot() as snapshot:
            assert cells_differ(snapshot) == []
        made = {each.name: each for each in projections(FoldSettings()).values()}
        for each in rebuild.request_all(store, list(made.values()), SHOP, NOW_MS):
            while rebuild.run(store, made[each.name], each.shop, NOW_MS):
                pass
        assert cells(store) == counted
        with store.snapshot() as snapshot:
            assert cells_differ(snapshot) == []
    finally:
        store.close()


def cells(store: SqlStore) -> dict[str, list[tuple[Any, ...]]]:
    """What every cell counts, whatever its generation."""
    return {
        table.table: [
            row
            for row in numbers(of_table(store, table.table), (*table.key[1:], *table.measures))
            if any(row[len(table.key) - 1 :])
        ]
        for table in CELLS
    }


def steps(revision: str, path: Path) -> Iterator[tuple[str, dict[str, tuple[str, int]]]]:
    """Migrate a stored store to the head, one step at a time.

    Yields each revision, and by table: its definition and the number of its rows.
    """
    place = f"sqlite:///{path}"
    write(place, stored(revision), revision)
    engine = sa.create_engine(dialect_of(place).engine_url(place))
    config = Config()
    with (
        resources.as_file(resources.files("stream.store.migrations")) as folder,
        engine.begin() as connection,
        Operations.context(MigrationContext.configure(connection)),
    ):
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        yield revision, tables(connection)
        later = ScriptDirectory.from_config(config).iterate_revisions("head", revision)
        for script in reversed(list(later)):
            script.module.upgrade()
            yield script.revision, tables(connection)
    engine.dispose()


def tables(connection: sa.Connection) -> dict[str, tuple[str, int]]:
    listed = connection.execute(
        sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sql%'")
    ).all()
    return {
        name: (
            definition,
            connection.execute(sa.text(f"SELECT COUNT(*) FROM {name}")).scalar_one(),
        )
        for name, definition in listed
        if name != "alembic_version"
    }


def test_whatever_a_migration_alters_or_removes_has_rows_in_a_stored_store(tmp_path: Path) -> None:
    changed: dict[tuple[str, str], bool] = {}
    for revision in REVISIONS:
        before: dict[str, tuple[str, int]] = {}
        for each, after in steps(revision, tmp_path / f"{revision}.db"):
            for table, (definition, rows) in before.items():
                if table not in after or after[table][0] != definition:
                    changed[each, table] = changed.get((each, table), False) or rows > 0
            before = after
    assert changed
    assert [place for place, had_rows in changed.items() if not had_rows] == []
