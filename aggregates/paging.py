"""Pages of a list that is put together in memory, by keyset: a cursor says behind which place the
next page begins, so that what is added or gone meanwhile neither repeats nor hides another item."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta

from aggregates.bad_parameter import BadParameter
from aggregates.parameters import CURSOR, Parameter, whole

MOST: Final = 1_000
PAGING: Final[tuple[Parameter, ...]] = (whole("limit", "items on a page", 1, MOST, MOST), CURSOR)
ALLOWED: Final = "the next_cursor of the page before, or none"

NextCursor = Annotated[
    str | None,
    Meta(description="`cursor` of the next page; null on the last one.", examples=[None]),
]
Place = tuple[int | str, ...]
"""Where an item stands: lists are sorted by it, and no two items have the same."""
T = TypeVar("T")


def page(
    items: Sequence[T], place: Callable[[T], Place], values: Mapping[str, Any]
) -> tuple[Sequence[T], str | None]:
    """The items of the page that `values` (the parameters of `PAGING`) asks for, and the cursor of
    the next one. `items` are sorted by `place`. Raises BadParameter."""
    limit = values.get("limit") or MOST
    start = 0
    if values.get("cursor"):
        after = _place(values["cursor"])
        try:
            start = sum(place(item) <= after for item in items)
        except TypeError:  # A text where this list has a number.
            raise BadParameter("cursor", "the cursor is of another list", ALLOWED) from None
    shown = items[start : start + limit]
    more = start + limit < len(items)
    return shown, _cursor(place(shown[-1])) if more else None


def _cursor(place: Place) -> str:
    return urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def _place(cursor: str) -> Place:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        return msgspec.json.decode(urlsafe_b64decode(padded), type=Place)
    except (msgspec.DecodeError, NotBase64, ValueError):
        raise BadParameter("cursor", "the cursor is none that a list gave out", ALLOWED) from None
