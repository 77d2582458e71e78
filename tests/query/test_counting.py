"""Since when a shop is counted."""

import pytest

from query.counting import first_day_seen, window_covered
from stream.store.sql.store import SqlStore
from tests.support.api_client import fold
from tests.support.orders import DAY0, SHOP, order


def test_a_shop_is_counted_since_its_first_order_and_nobody_elses(store: SqlStore) -> None:
    with store.snapshot() as snapshot:
        assert first_day_seen(snapshot, SHOP) is None
    fold(
        store,
        [
            [
                order("1", customer="1", day=DAY0 + 3),
                order("2", customer="2", day=DAY0 + 2),
                order("3", customer="2", day=DAY0 + 5),
            ]
        ],
    )
    with store.snapshot() as snapshot:
        assert first_day_seen(snapshot, SHOP) == DAY0 + 2
        assert first_day_seen(snapshot, "other.myshopify.com") is None


@pytest.mark.parametrize(
    ("since", "window_days", "share"),
    [(100, 10, 0.1), (91, 10, 1.0), (1, 10, 1.0), (None, 10, 0.0), (50, None, None)],
)
def test_the_share_of_a_window_is_that_of_its_days(
    since: int | None, window_days: int | None, share: float | None
) -> None:
    assert window_covered(100, since, window_days) == share
