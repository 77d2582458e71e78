"""The day since which a shop's orders are complete, and the share of an answer's window since then.

Where a backfill has begun, its windows say it; else it is the first day with an order.
"""

from stream.store.contract import Reading

FIRST_DAY = """
    SELECT MIN(b.first_day) FROM rfm_btyd_cell b
    WHERE b.x = {x} AND b.customers > 0 AND b.shop = (
        SELECT p.shop || CASE WHEN p.live = 0 THEN '' ELSE '#' || p.live END
        FROM projection p WHERE p.name = 'rfm' AND p.shop = :shop
    )
"""
"""By the index, so few customers of many are read: the first ones have x of 0 or hardly more."""
FEW = range(4)

WINDOWS = """
    SELECT from_s, to_s, state FROM backfill_window
    WHERE shop = :shop AND kind = 'orders' ORDER BY from_s DESC
"""
DAY_S = 86_400


def counting_since(reading: Reading, shop: str) -> int | None:
    """The shop's first day with complete orders, since 1970-01-01; None before any order."""
    filled = filled_since(reading, shop)
    return first_day_seen(reading, shop) if filled is None else filled


def filled_since(reading: Reading, shop: str) -> int | None:
    """The first whole day that a backfill has filled without a gap up to where it began; the day
    on which it began where nothing is filled yet; None without a backfill."""
    since_s = None
    for from_s, to_s, state in reading.query(WINDOWS, shop=shop):
        if since_s is None:
            since_s = to_s  # What came later came by webhook.
        if state != "done" or to_s < since_s:
            break
        since_s = from_s
    # A day of the shop may begin up to 14 hours before that of UTC.
    return None if since_s is None else since_s // DAY_S + 1


def first_day_seen(reading: Reading, shop: str) -> int | None:
    """The shop's first day with an order, since 1970-01-01; None before any."""
    days = [reading.query(FIRST_DAY.format(x=x), shop=shop)[0][0] for x in FEW]
    return min((int(day) for day in days if day is not None), default=None)


def window_covered(day: int, since: int | None, window_days: int | None) -> float | None:
    """The share of the window that ends with `day` since which the shop is counted."""
    if window_days is None or window_days <= 0:
        return None
    if since is None:
        return 0.0
    return min(max(day - since + 1, 0) / window_days, 1.0)
