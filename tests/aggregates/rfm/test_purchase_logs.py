"""A public purchase log in the cells of a large shop is worth what it is worth exactly; all logs
are in `bench/models/purchase_logs.py`."""

from pathlib import Path

import pytest

from bench.models.purchase_logs import EACH, TOTAL, Purchase, compare, read
from tests.support.shopify.golden import CDNOW_SAMPLE, cdnow_orders


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_cdnow_at_50_000_customers_is_within_1_percent_in_total_and_5_per_customer(
    share: float,
) -> None:
    purchases: list[Purchase] = [
        (each.customer, each.day, each.cents) for each in cdnow_orders(CDNOW_SAMPLE)
    ]
    found = compare(purchases, share)
    assert found.customers >= 50_000
    assert found.cells < found.customers / 20
    assert abs(found.total) <= TOTAL
    assert found.largest <= EACH
    assert found.restarted


def test_a_log_is_read_with_dates_or_days_and_with_or_without_prices(tmp_path: Path) -> None:
    file = tmp_path / "log.csv"
    file.write_text('"","Id","Date","Price"\n"1","7","1970-01-03",2.5\n')
    assert read(file) == [("7", 2, 250)]
    file.write_text("cust,date\n7,2.0\n")
    assert read(file) == [("7", 2, 1_000)]
