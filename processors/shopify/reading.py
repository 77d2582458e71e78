"""Reads the JSON of a record, repaired if a strict decoder refuses it."""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from processors.shopify.tolerance import Rejected
from stream.lenient_json import mended
from stream.record import Record

Event = TypeVar("Event")
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def read(record: Record, decode: Callable[[Record], Event]) -> Event:
    """`decode(record)`, once more with a repaired body if that fails. Raises Rejected."""
    try:
        if not record.body.isascii():
            # msgspec skips text that it does not build, and a later reader may build more.
            record.body.decode()
        return decode(record)
    except UNREADABLE:
        pass
    try:
        return decode(msgspec.structs.replace(record, body=mended(record.body)))
    except (ValueError, RecursionError):
        raise Rejected(
            "malformed_json", "the body is not the JSON object that its topic promises"
        ) from None
