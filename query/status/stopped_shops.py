"""Shops that a processor has stopped for, why, and the command that resumes them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from processors.engine.stops import ALL_SHOPS, StoppedShop, resume_command, stopped_shops
from query.status.answer import Role
from query.status.schema import StoppedShopStatus
from stream.store.contract import Snapshot
from stream.times import instant


def read_stopped_shops(
    snapshot: Snapshot, roles: Sequence[Role], shops: Collection[str] | None
) -> list[StoppedShopStatus]:
    """One entry per processor and shop, of these shops or of all; `shop` null means all shops."""
    first: dict[tuple[str, str, bool], StoppedShop] = {}
    for row in stopped_shops(snapshot):
        if shops is None or row.shop in shops or row.shop == ALL_SHOPS:
            place = (row.processor, row.shop, bool(row.stopped))
            first[place] = min(row, first.get(place, row), key=lambda each: each.since_ms)
    return [_records(row) for _, row in sorted(first.items())] + [
        _tick(failing)
        for role in roles
        if role.alive
        for failing in role.details.get("ticks") or []
        if shops is None or failing["shop"] in shops or failing["shop"] is None
    ]


def _records(row: StoppedShop) -> StoppedShopStatus:
    return StoppedShopStatus(
        processor=row.processor,
        shop=row.shop or None,
        state="stopped" if row.stopped else "catching_up",
        since=instant(row.since_ms),
        reason=row.reason or None,
        go_on=resume_command(row.processor, row.shop) if row.stopped else None,
    )


def _tick(failing: Mapping[str, Any]) -> StoppedShopStatus:
    return StoppedShopStatus(
        processor=failing["processor"],
        shop=failing["shop"],
        state="tick_failing",
        since=None,
        reason=failing["reason"],
        go_on=None,
    )


def without_any_shop(
    entries: Sequence[StoppedShopStatus], shops: Collection[str]
) -> dict[str, str]:
    """Processors that have stopped for every one of `shops`, with a reason."""
    stopped: dict[str, set[str]] = {}
    reasons: dict[str, str] = {}
    for entry in entries:
        if entry.state == "stopped":
            stopped.setdefault(entry.processor, set()).add(entry.shop or ALL_SHOPS)
            reasons[entry.processor] = f"{entry.reason}; {entry.go_on}"
    return {
        processor: reasons[processor]
        for processor, its_shops in stopped.items()
        if ALL_SHOPS in its_shops or (shops and set(shops) <= its_shops)
    }
