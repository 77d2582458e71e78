"""Appends the orders of a file to the log, as history."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from ingest.shopify.order_file import (
    BadOrder,
    Json,
    NotAnOrderFile,
    csv_orders,
    json_orders,
    records,
)
from orderwire.operation.refused import Refused
from stream.record import Record

BATCH = 500
SHOWN = 20


@dataclass(slots=True)
class Look:
    """Number of good and bad orders of a file."""

    orders: int = 0
    bad: list[BadOrder] = field(default_factory=list)


def look(file: Path) -> Look:
    """Read the file to its end without appending anything. Raises Refused."""
    found = Look()
    for each in _read(file):
        if isinstance(each, BadOrder):
            found.bad.append(each)
        else:
            found.orders += 1
    return found


def take(
    file: Path,
    shop: str,
    zone: str,
    append: Callable[[Sequence[Record]], None],
    advance: Callable[[int], None],
) -> int:
    """Append the file's good orders. Returns how many. Raises Refused, LogError."""
    good = (each for each in _read(file) if not isinstance(each, BadOrder))
    made, taken = records(shop, good, zone, time.time), 0
    while batch := list(islice(made, BATCH)):
        append(batch)
        taken += len(batch)
        advance(len(batch))
    return taken


def _read(file: Path) -> Iterator[Json | BadOrder]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            yield from csv_orders(text) if file.suffix.lower() == ".csv" else json_orders(text)
    except NotAnOrderFile as error:
        raise Refused(f"{file}: {error}") from None
    except UnicodeDecodeError:
        raise Refused(f"{file} is not UTF-8: export it anew") from None
    except OSError as error:
        raise Refused(f"{file} cannot be read: {error.strerror}") from None
