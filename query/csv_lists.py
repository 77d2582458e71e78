"""A list as CSV (RFC 4180), for `Accept: text/csv`: one line per item, of all pages.

Columns come from the type of the items. Money is two columns, parts of an item are `part.member`,
what has no fixed members is JSON.
"""

import csv
import functools
import io
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec
import structlog
from aiohttp import hdrs, web
from msgspec import Struct, UnsetType

from query.route import ApiRoute, Asked, Handler, Json
from stream.money import MoneyJson

CSV: Final = "text/csv"
JSON: Final = "application/json"
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""Spreadsheets take a text that begins so for a formula; anybody may write a campaign's name into a
link (OWASP, "CSV Injection")."""
log = structlog.get_logger()


class Column(NamedTuple):
    """A column, and where its value is in an item."""

    name: str
    path: tuple[str, ...]


def list_of(route: ApiRoute) -> type[Struct] | None:
    """The type of the items of a route whose answer is a list."""
    return _items_of(route.answers[0]) if len(route.answers) == 1 else None


@functools.cache  # Reading a type's hints takes 0.5 ms, and there are 30 routes.
def _items_of(answer: type[Struct]) -> type[Struct] | None:
    hint = get_type_hints(answer).get("items")
    found = get_args(hint)[0] if get_origin(hint) is list else None
    return found if isinstance(found, type) and issubclass(found, Struct) else None


def wants_csv(accept: str) -> bool:
    """Whether a request would rather have CSV than JSON (RFC 9110, 12.5.1)."""
    weights: dict[str, float] = {}
    for part in accept.lower().split(","):
        media, *parameters = (each.strip() for each in part.split(";"))
        weight = next((each[2:] for each in parameters if each.startswith("q=")), "1")
        try:
            weights[media] = float(weight)
        except ValueError:
            continue
    return weights.get(CSV, 0.0) > weights.get(JSON, 0.0)


def columns(kind: type[Struct], before: tuple[str, ...] = ()) -> list[Column]:
    """The columns of a type of items."""
    found = list[Column]()
    hints = get_type_hints(kind)
    for field in msgspec.structs.fields(kind):
        path = (*before, field.encode_name)
        name = ".".join(path)
        types_of = [each for each in _alternatives(hints[field.name]) if each is not UnsetType]
        one = types_of[0] if len(types_of) == 1 else None
        if one is MoneyJson:
            found.append(Column(name, (*path, "amount")))
            found.append(Column(f"{name}_currency", (*path, "currency_code")))
        elif isinstance(one, type) and issubclass(one, Struct):
            found += columns(one, path)
        else:
            found.append(Column(name, path))
    return found


def _alternatives(hint: Any) -> list[Any]:
    """The types that a value may have, without null."""
    if get_origin(hint) in (Union, types.UnionType):
        return [each for part in get_args(hint) for each in _alternatives(part)]
    return [] if hint is type(None) else [hint]


def lines(rows: Iterable[Sequence[Any]]) -> bytes:
    """Rows with CRLF."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def row(item: Any, of: Sequence[Column]) -> list[Any]:
    """An item's values; empty for what is null or was not asked for."""
    plain = msgspec.to_builtins(item)
    return [_cell(_at(plain, column.path)) for column in of]


def _at(value: Any, path: Sequence[str]) -> Any:
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def _cell(value: Any) -> Any:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case str():
            return f"'{value}" if value.startswith(FORMULA) and not _number(value) else value
        case int() | float():
            return value
        case Mapping() if len(value) <= 1 and all(isinstance(each, str) for each in value.values()):
            return _cell(next(iter(value.values()), ""))
        case _:
            return msgspec.json.encode(value).decode()


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


async def csv_response(
    asked: Asked, kind: type[Struct], handler: Handler
) -> Json | Struct | web.StreamResponse:
    """The items of the page that was asked for, and of all pages behind it."""
    found = await handler(asked)
    if not isinstance(found, dict):
        return found  # The handler writes its own. (aiohttp's responses are mappings.)
    name = f"{asked.shop}-{asked.request.path.rpartition('/')[2]}.csv"
    response = web.StreamResponse(
        headers={
            hdrs.CONTENT_TYPE: f"{CSV}; charset=utf-8; header=present",
            hdrs.CONTENT_DISPOSITION: f'attachment; filename="{name}"',
            hdrs.VARY: hdrs.ACCEPT,
        }
    )
    of = columns(kind)
    await response.prepare(asked.request)
    if asked.request.method == hdrs.METH_HEAD:
        return response
    await response.write(lines([[column.name for column in of]]))
    await response.write(lines(row(item, of) for item in found["items"]))
    try:
        while (cursor := found.get("next_cursor")) is not None:
            found = await handler(replace(asked, values=asked.values | {"cursor": cursor}))
            if not isinstance(found, dict):
                raise TypeError("a list answered something else on its second page")
            await response.write(lines(row(item, of) for item in found["items"]))
        await response.write_eof()
    except Exception as error:
        # Too late for another status: the connection breaks before the last chunk, so that the
        # list is seen to be incomplete.
        log.warning("list broke off", shop=asked.shop, error=type(error).__name__)
        if asked.request.transport is not None:
            asked.request.transport.abort()
    return response
