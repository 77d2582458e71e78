"""The CDNOW purchase log (Fader & Hardie), read from the shared folder; tests that need it are skipped where it is absent."""

from datetime import date
from pathlib import Path

import pytest

from tests.support.oracle_rfm import Order

SHARED = Path(__file__).parents[3] / "shared"
MASTER = SHARED / "data" / "CDNOW_master.txt"
SAMPLE = SHARED / "data" / "CDNOW_sample.txt"
VECTORS = SHARED / "vectors" / "rfm_cdnow.json"
CALIBRATION_ENDS = (date(1997, 9, 30) - date(1970, 1, 1)).days

needs_cdnow = pytest.mark.skipif(
    not (MASTER.exists() and SAMPLE.exists()), reason="shared/data/CDNOW_*.txt is not here"
)


def cdnow_orders(path: Path) -> list[Order]:
    """Each line as one order: the customer is the first field (of the master file), then date, CDs and dollars last."""
    orders = []
    for line in path.read_text().splitlines():
        fields = line.split()
        if fields and fields[0].isdigit():
            day, dollars = fields[-3], fields[-1]
            when = date(int(day[:4]), int(day[4:6]), int(day[6:]))
            orders.append(
                Order(fields[0], (when - date(1970, 1, 1)).days, round(float(dollars) * 100))
            )
    return orders
