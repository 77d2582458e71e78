"""Writes columns of rows as PostgreSQL array literals.

The driver would convert value by value, which took two thirds of a batch's CPU. Here a column is
one join. Quoting: PostgreSQL manual, section 8.15.6, "Array Input and Output Syntax".
"""

from collections.abc import Sequence
from typing import Any, Final

INTEGERS: Final = frozenset({"int2", "int4", "int8"})


def literal(kind: str, values: Sequence[Any]) -> str | list[Any]:
    """`values` of one column as an array of this type; None is NULL.

    A list where the driver has to convert it: a type that no column of ours has.
    """
    if kind in INTEGERS:
        # A list of integers looks the same in Python, but for brackets and NULL.
        return "{" + str([*values])[1:-1].replace("None", "NULL") + "}"
    if kind == "text":
        return _texts(values)
    if kind == "bytea":
        return _texts([None if value is None else "\\x" + value.hex() for value in values])
    return list(values)


def _texts(values: Sequence[str | None]) -> str:
    if None in values:
        return "{" + ",".join("NULL" if v is None else f'"{_escaped(v)}"' for v in values) + "}"
    joined = '","'.join(values)  # type: ignore[arg-type]  # None is excluded above.
    if "\\" in joined or joined.count('"') != 2 * (len(values) - 1):
        joined = '","'.join([_escaped(value) for value in values])  # type: ignore[arg-type]
    return f'{{"{joined}"}}'


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
