"""Maps environment variables to settings by walking the tree of models from its root.

A section's field carries the `Prefix` of its variables; a variable's name is the prefix and the
field's name in capitals. A field marked `TableOnly` has no variable.
"""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from orderwire.settings.refusal import ConfigurationError

EACH = "*"
"""Stands in a path for the name of any shop."""


@dataclass(frozen=True, slots=True)
class Prefix:
    """Marks a field as a section: the prefix of its variables."""

    text: str


@dataclass(frozen=True, slots=True)
class TableOnly:
    """Marks a field that no variable sets."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One leaf of the tree."""

    variable: str
    path: tuple[str, ...]
    """As pydantic's errors say where they are, `*` for a shop's domain."""
    default: Any
    secret: bool
    """Whether the value never shows, and may come from the file that NAME_FILE names."""
    write: str | None
    """What to write, for an error's message."""

    @property
    def name(self) -> str:
        """As a shop's table in orderwire.toml says it."""
        return self.path[-1]

    @property
    def of_a_shop(self) -> bool:
        return EACH in self.path


def settings_of(model: type[Any], prefix: str, path: tuple[str, ...] = ()) -> Iterator[Setting]:
    """Every setting below `model`, whose own variables begin with `prefix`."""
    if is_dataclass(model):
        hints = get_type_hints(model)
        for each in fields(model):
            if each.name != "shop" and get_origin(hints[each.name]) is not Mapping:
                yield Setting(
                    f"{prefix}{each.name.upper()}",
                    (*path, each.name),
                    None if each.default is MISSING else each.default,
                    not each.repr,
                    None,
                )
        return
    for name, field in model.model_fields.items():
        key = str(field.validation_alias or name)
        section = next((mark for mark in field.metadata if isinstance(mark, Prefix)), None)
        if section is not None:
            inner, many = _inner(field.annotation)
            below = (*path, key, EACH) if many else (*path, key)
            yield from settings_of(inner, section.text, below)
        elif not any(isinstance(mark, TableOnly) for mark in field.metadata):
            yield Setting(
                key if key.isupper() else f"{prefix}{key.upper()}",
                (*path, key),
                field.get_default(call_default_factory=False),
                is_secret(field),
                field.description,
            )


def refusal(error: ValidationError, known: Mapping[tuple[str, ...], Setting]) -> ConfigurationError:
    """The error for pydantic's first complaint: which setting, its variable, what to write."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = [str(part) for part in first["loc"]]
    shop = f"{place[1]}: " if place[0] == "shops" and len(place) > 1 else ""
    if shop:
        place[1] = EACH
    message = first["msg"].removeprefix("Value error, ")
    for length in range(len(place), 0, -1):
        setting = known.get(tuple(place[:length]))
        if setting is None:
            continue
        if first["type"] == "missing":
            return ConfigurationError(
                f"{shop}{setting.variable} is missing: set it, or {setting.name} in orderwire.toml"
            )
        if setting.write is None:
            return ConfigurationError(f"{shop}{setting.variable}: {message}")
        shown = "" if setting.secret else f" is {first['input']!r}"
        return ConfigurationError(f"{shop}{setting.variable}{shown}: write {setting.write}")
    # A section refuses as a whole: its message begins with a field's name, or names several.
    inside = {each.name: each for path, each in known.items() if path[: len(place)] == tuple(place)}
    name, _, rest = message.partition(" ")
    if name in inside:
        message = f"{inside[name].variable} {rest}"
    return ConfigurationError(f"{shop}{message}")


def _inner(annotation: Any) -> tuple[type[Any], bool]:
    """The model of a section, and whether there is one per shop."""
    if get_origin(annotation) is dict:
        return get_args(annotation)[1], True
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(each for each in get_args(annotation) if each is not NoneType)
    return annotation, False


def is_secret(field: FieldInfo) -> bool:
    """Whether the value never shows."""
    return SecretStr in (field.annotation, *get_args(field.annotation)) or field.repr is False
