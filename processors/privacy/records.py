"""Decides whether a record of the log names a redacted person, and blanks it."""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from processors.orders.customer import email_key
from processors.privacy.subject import (
    CUSTOMER_ID,
    EMAIL,
    ORDER_ID,
    PHONE,
    TOKEN,
    mark,
    phone_digits,
)
from processors.shopify.tolerance import Rejected, identifier, mapping, micros, timestamp
from stream.record import Record

REDACTED_HEADER: Final = "redacted"
KEPT_HEADERS: Final = ("source", "topic", "shop", "spool_topic", "set_aside_reason")
_MADE: Final = ("created_at", "processed_at", "createdAt", "processedAt")
_TOKENS: Final = frozenset({"token", "checkout_token", "cart_token", "checkoutToken", "cartToken"})
_address: Final = re.compile(r"[^\s\"'<>@,;:\\]+@[^\s\"'<>@,;:\\]+")
_digits: Final = re.compile(r"(?<![0-9])[0-9]{4,19}(?![0-9])")
_word: Final = re.compile(r"[A-Za-z0-9_-]{16,128}")

Matches = Callable[[Record], bool]


def named_in(body: bytes) -> Iterator[tuple[str, str]]:
    """(kind of mark, value) of everything in a body that may name somebody."""
    try:
        yield from _walked("", msgspec.json.decode(body))
    except (ValueError, RecursionError):
        yield from _searched(body.decode("utf-8", "replace"))


def _walked(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _walked(str(key), inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _walked(name, inner)
    elif isinstance(value, int | str) and not isinstance(value, bool):
        text = str(value)
        if "@" in text:
            yield from ((EMAIL, email_key(found)) for found in _address.findall(text))
        elif "phone" in name.lower():
            if digits := phone_digits(text):
                yield PHONE, digits
        elif name in _TOKENS:
            yield TOKEN, text
        elif (name.lower().endswith(("id", "id_kept")) or name.startswith("orders_")) and (
            found := identifier(value)
        ):
            yield CUSTOMER_ID, found
            yield ORDER_ID, found


def _searched(text: str) -> Iterator[tuple[str, str]]:
    yield from ((EMAIL, email_key(found)) for found in _address.findall(text))
    for found in _digits.findall(text):
        yield CUSTOMER_ID, found
        yield ORDER_ID, found
    yield from ((TOKEN, found) for found in _word.findall(text))


def matcher(salt: str, marks: Mapping[str, Mapping[str, int]]) -> Matches:
    """Whether a record names somebody. `marks`: by shop, mark -> when redaction was asked."""

    def matches(record: Record) -> bool:
        shop = record.headers.get("shop", "")
        wanted = marks.get(shop)
        if not wanted or REDACTED_HEADER in record.headers:
            return False
        asked = {
            kind: asked_ms
            for kind, value in _names(record)
            if (asked_ms := wanted.get(mark(salt, shop, kind, value))) is not None
        }
        # An order or a checkout that was redacted stays so; a person may come again.
        if ORDER_ID in asked or TOKEN in asked:
            return True
        return bool(asked) and _made_ms(record) <= max(asked.values())

    return matches


def _made_ms(record: Record) -> int:
    """When the record's object was made. A record that arrived late is judged by this time."""
    try:
        body = msgspec.json.decode(record.body)
    except (ValueError, RecursionError):
        return 0
    objects = [
        mapping(body),
        *(mapping(each) for each in mapping(mapping(body).get("data")).values()),
    ]
    moments = [
        micros(moment) // 1000
        for each in objects
        for name in _MADE
        if (moment := _moment(each.get(name))) is not None
    ]
    return min(moments, default=record.time_ms)


def _moment(value: Any) -> datetime | None:
    try:
        return timestamp(value, "")
    except Rejected:
        return None


def _names(record: Record) -> Iterator[tuple[str, str]]:
    yield from named_in(record.body)
    tail = record.key.rpartition(":")[2]
    yield CUSTOMER_ID, tail
    yield ORDER_ID, tail
    yield TOKEN, tail


def blanked(record: Record) -> Record:
    """The record with the same offset and kept headers, and no content."""
    shop = record.headers.get("shop", "")
    headers = {name: record.headers[name] for name in KEPT_HEADERS if name in record.headers}
    headers |= {k: v for k, v in record.headers.items() if k.startswith("parked_")}
    return Record(
        topic=record.topic,
        key=shop,
        id=record.id,
        time_ms=record.time_ms,
        headers={**headers, REDACTED_HEADER: "1"},
        body=b"",
    )
