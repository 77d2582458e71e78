"""Reads a request's parameters by their declarations. An unknown parameter, a repeated one or a
value out of range is a 400 that names what is allowed."""

from collections.abc import Mapping, Sequence
from typing import Any

from aggregates.parameters import Parameter
from query.problem import bad_parameter, unknown_parameter

Json = dict[str, Any]


def read_all(
    declared: Sequence[Parameter], query: Sequence[tuple[str, str]], path: Mapping[str, str]
) -> Json:
    """Values by name, defaults if absent. Raises Problem 400."""
    known = {parameter.name: parameter for parameter in declared}
    values = {parameter.name: parameter.default for parameter in declared}
    seen: set[str] = set()
    for name, sent in [*query, *path.items()]:
        parameter = known.get(name)
        if parameter is None or (parameter.where == "query") != (name not in path):
            raise unknown_parameter(
                name[:80], [each.name for each in declared if each.where == "query"]
            )
        if name in seen:
            raise bad_parameter(name, f"{name} is given twice", parameter.allowed())
        seen.add(name)
        try:
            values[name] = parameter.read(sent)
        except ValueError as error:
            raise bad_parameter(name, str(error), parameter.allowed()) from None
    return values
