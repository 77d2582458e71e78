"""Query parameters: one declaration parses a value and documents it in OpenAPI."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

Json = dict[str, Any]
WHOLE: Final = re.compile(r"-?[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Parameter:
    """`read` parses what was sent, and raises ValueError for an invalid value."""

    name: str
    about: str
    schema: Mapping[str, Any]
    read: Callable[[str], Any]
    default: Any = None
    where: Literal["query", "path"] = "query"

    def allowed(self) -> Any:
        """The valid values: a list or a range, as JSON."""
        if "enum" in self.schema:
            return list(self.schema["enum"])
        if "minimum" in self.schema:
            return f"{self.schema['minimum']} to {self.schema['maximum']}"
        return self.schema.get("description")


def choice(name: str, about: str, values: Sequence[str], default: str | None = None) -> Parameter:
    """One of `values`."""

    def read(text: str) -> str:
        if text not in values:
            raise ValueError(f"{name} is none of the values allowed")
        return text

    return Parameter(name, about, {"type": "string", "enum": list(values)}, read, default)


def whole(name: str, about: str, least: int, most: int, default: int | None = None) -> Parameter:
    """A whole number from `least` to `most`."""

    def read(text: str) -> int:
        if not WHOLE.fullmatch(text) or not least <= int(text) <= most:
            raise ValueError(f"{name} is not a whole number from {least} to {most}")
        return int(text)

    return Parameter(
        name, about, {"type": "integer", "minimum": least, "maximum": most}, read, default
    )


def text(
    name: str, about: str, *, longest: int = 200, where: Literal["query", "path"] = "query"
) -> Parameter:
    """Any text of at most `longest` characters."""

    def read(value: str) -> str:
        if not value or len(value) > longest or "\0" in value:
            raise ValueError(f"{name} is empty, or longer than {longest} characters")
        return value

    schema = {
        "type": "string",
        "minLength": 1,
        "maxLength": longest,
        "description": f"1 to {longest} characters",
    }
    return Parameter(name, about, schema, read, where=where)


CURSOR: Final = text("cursor", "`next_cursor` of the page before", longest=1_000)
