"""How much a store keeps of an order for ever, measured as `bench.folding.growth` does."""

from pathlib import Path

from bench.folding.growth import DAYS, lived


def test_ninety_days_later_an_order_takes_450_bytes_and_a_delivery_none(tmp_path: Path) -> None:
    assert DAYS[-1] > 90
    whole, fewer = (lived(f"sqlite:///{tmp_path / str(visits)}.db", visits) for visits in (800, 80))
    last = whole.beyond(fewer)
    assert last.orders > 200
    kept = sum(table.size for name, table in last.found[-1].items() if name != "parked")
    assert kept / last.orders <= 450
    assert whole.found[0]["parked"].rows == whole.sent
    assert whole.found[-1]["parked"].rows == 0
