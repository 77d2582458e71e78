"""Conditions on many values, as few different statements."""

from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import repeat

from stream.store.contract import Reading


def one_of(column: str, values: Sequence[str], name: str = "v") -> tuple[str, dict[str, str]]:
    """`column IN (...)` for at least one value, and the parameters, named `name0`, `name1`, ...

    Filled up to a power of two, so that few different statements are ever prepared.
    """
    condition, names = _one_of(column, 1 << (len(values) - 1).bit_length(), name)
    filled = [*values, *repeat(values[-1], len(names) - len(values))]
    return condition, dict(zip(names, filled, strict=True))


@lru_cache(maxsize=64)
def _one_of(column: str, size: int, name: str) -> tuple[str, Sequence[str]]:
    names = [f"{name}{number}" for number in range(size)]
    return f"{column} IN ({', '.join(f':{each}' for each in names)})", names


def having_rows(
    reading: Reading, table: str, shops: Collection[str], where: str = "", **parameters: str
) -> frozenset[str]:
    """Those of `shops` that have rows in `table`, whose key begins with the shop; only such rows
    as the condition ` AND t.… ` lets through."""
    if not shops:
        return frozenset()
    wanted = sorted(shops)
    size = 1 << (len(wanted) - 1).bit_length()
    names = {f"v{i}": wanted[min(i, len(wanted) - 1)] for i in range(size)}
    # One look at the index for each shop; DISTINCT would read all rows of theirs.
    sql = (
        f"WITH s (shop) AS (VALUES {', '.join(f'(:{name})' for name in names)})"
        f" SELECT shop FROM s WHERE EXISTS (SELECT 1 FROM {table} t WHERE t.shop = s.shop{where})"
    )
    return frozenset(row[0] for row in reading.query(sql, **names, **parameters))
