"""Reads `tests/golden`: published figures and example payloads, each with its source in README.md
there."""

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from tests.support.oracles.oracle_rfm import Order

GOLDEN = Path(__file__).parents[2] / "golden"
CDNOW_MASTER = GOLDEN / "CDNOW_master.txt"
CDNOW_SAMPLE = GOLDEN / "CDNOW_sample.txt"
EPOCH = date(1970, 1, 1)
CALIBRATION_ENDS = (date(1997, 9, 30) - EPOCH).days
"""The last day of the calibration period of Fader & Hardie, in days since 1970-01-01."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Payload:
    """The body of one delivery, and the topic that it belongs to."""

    name: str
    topic: str
    body: bytes


def golden_json(name: str) -> Json:
    """A JSON file of `tests/golden`."""
    found: Json = json.loads((GOLDEN / name).read_bytes())
    return found


def vectors(name: str) -> list[Json]:
    """The test vectors of a JSON file of `tests/golden`."""
    found: list[Json] = golden_json(name)["vectors"]
    return found


def rfm_figures() -> dict[str, Json]:
    """RFM numbers of the CDNOW master file, by the day as of which they count."""
    found: dict[str, Json] = golden_json("rfm_cdnow.json")["asof"]
    return found


def cdnow_orders(path: Path) -> list[Order]:
    """One order per line: the customer first, then (not used) CDs; date and dollars are last.

    The sample file has two customer numbers a line, of which the first is the master file's.
    """
    orders = []
    for line in path.read_text().splitlines():
        customer, *fields = line.split()
        if not customer.isdigit():
            continue  # The master file's heading.
        day_text, _, dollars = fields[-3:]
        day = date(int(day_text[:4]), int(day_text[4:6]), int(day_text[6:]))
        orders.append(Order(customer, (day - EPOCH).days, round(float(dollars) * 100)))
    return orders


def payloads() -> list[Payload]:
    """Our own examples. `orders.create.guest` is a payload of the topic orders/create."""
    return [
        Payload(path.stem, "/".join(path.stem.split(".")[:2]), path.read_bytes())
        for path in sorted((GOLDEN / "payloads").glob("*.json"))
    ]


def payload(name: str) -> Payload:
    """One of our own examples."""
    return next(each for each in payloads() if each.name == name)


def placeholders(example: Payload) -> Payload:
    """The same body with every string and number replaced, as public collections publish bodies.

    Keys, nulls and types stay: presence and shape as in the example, with hostile values.
    """
    body = _replaced(json.loads(example.body))
    return Payload(f"{example.name}.placeholders", example.topic, json.dumps(body).encode())


def _replaced(value: Any) -> Any:
    match value:
        case dict():
            return {name: _replaced(each) for name, each in value.items()}
        case list():
            return [_replaced(each) for each in value]
        case str():
            return "example string"
        case bool() | None:
            return value
    return 123


def hostile_payloads() -> list[Payload]:
    """Bodies of the right shape whose values mean nothing."""
    return [placeholders(each) for each in payloads()]


def every_payload() -> list[Payload]:
    """All of the above."""
    return [*payloads(), *hostile_payloads()]
