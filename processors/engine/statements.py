"""Conditions on many values, as few different statements."""

from collections.abc import Sequence


def one_of(column: str, values: Sequence[str], name: str = "v") -> tuple[str, dict[str, str]]:
    """`column IN (...)` for at least one value, and the parameters, named `name0`, `name1`, ...

    Filled up to a power of two, so that few different statements are ever prepared.
    """
    size = 1 << (len(values) - 1).bit_length()
    parameters = {f"{name}{i}": values[min(i, len(values) - 1)] for i in range(size)}
    return f"{column} IN ({', '.join(f':{each}' for each in parameters)})", parameters
