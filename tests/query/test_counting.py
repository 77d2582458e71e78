"""Since when a shop is counted."""

import pytest

from ingest.shopify.admin.past.progress import DONE, ORDERS, PENDING, BackfillWindow, Progress
from query.endpoints.counting import counting_since, first_day_seen, window_covered
from stream.store.sql.store import SqlStore
from tests.support.api.api_client import fold
from tests.support.shopify.orders import DAY0, SHOP, order


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


DAY_S = 86_400


def window(first: int, last: int, state: str) -> BackfillWindow:
    """From the beginning of one day to that of another."""
    return BackfillWindow(SHOP, ORDERS, first * DAY_S, last * DAY_S, state)


def test_a_backfill_moves_it_back_as_far_as_it_is_filled_without_a_gap(store: SqlStore) -> None:
    progress = Progress(store, SHOP)

    def since() -> int | None:
        with store.snapshot() as snapshot:
            return counting_since(snapshot, SHOP)

    fold(store, [[order("1", customer="1", day=DAY0 - 300)]])
    assert since() == DAY0 - 300
    progress.save([window(90, 100, PENDING), window(80, 90, DONE), window(70, 80, DONE)])
    assert since() == 101
    progress.save([window(90, 100, DONE), window(60, 70, PENDING), window(50, 60, DONE)])
    assert since() == 71
    progress.save([window(60, 70, DONE)])
    assert since() == 51
