"""An audit run: what its record on the topic `audits` says, and the steps of each type.

A shop has one run of a type at a time; the latest one is kept.
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from stream.record import Record

TOPIC: Final = "audits"
STEPS: Final[Mapping[str, tuple[str, ...]]] = {
    "capi": ("check_credentials", "test_connection", "pixel_info"),
    "customer_rfm": ("fetch_orders", "calculate_rfm", "calculate_ltv"),
    "cart_recovery": ("fetch_checkouts", "calculate_rates", "estimate_recovery"),
    "ads_optimization": ("fetch_spend", "calculate_returns", "recommend_budgets"),
}
"""By type, in the order in which they run."""
DAYS: Final = 365
MOST_DAYS: Final = 3650

Status = Literal["running", "success", "warning", "error"]
Severity = Literal["critical", "warning", "info"]


class Issue(msgspec.Struct, frozen=True):
    """Something that the merchant should know or fix."""

    severity: Severity
    message: str
    action: str
    """What to do about it."""


class Requested(msgspec.Struct, frozen=True):
    """The body of a record on `audits`."""

    run_id: str
    type: str
    days: int


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Requested)


def request(shop: str, run_id: str, kind: str, days: int, now_ms: int) -> Record:
    """The record that asks for a run."""
    return Record(
        topic=TOPIC,
        key=shop,
        id=run_id,
        time_ms=now_ms,
        headers={"source": "orderwire", "topic": f"audits/{kind}", "shop": shop},
        body=_encoder.encode(Requested(run_id, kind, days)),
    )


def requested(body: bytes) -> Requested | None:
    """What a record asks for; None where it is not a run that this program knows."""
    try:
        found = _decoder.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    return found if found.type in STEPS and 1 <= found.days <= MOST_DAYS else None
