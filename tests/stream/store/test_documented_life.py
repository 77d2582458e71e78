"""docs/scale.md says of every table of the store how many rows it has, and until when.

Cells of an aggregate need no line: they are few, and swept once they are zero.
"""

import re
import sqlite3
from pathlib import Path

from aggregates.registry import AGGREGATES

ROOT = Path(__file__).parents[3]
SECTION = "## What is kept, and how long"


def lives() -> dict[str, str]:
    """Until when each table has a row, in the guide's words."""
    section = (ROOT / "docs/scale.md").read_text().split(SECTION)[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")]
    return {
        name: row[2] for row in rows if len(row) == 3 for name in re.findall(r"`(\w+)`", row[0])
    }


def test_every_table_has_a_documented_life_and_nothing_else_has(migrated_sqlite: Path) -> None:
    documented = lives().keys()
    connection = sqlite3.connect(migrated_sqlite)
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    connection.close()
    found = {name for (name,) in tables}
    cells = {each.table for manifest in AGGREGATES for each in manifest.cells}
    assert found - documented <= cells
    assert documented <= found
