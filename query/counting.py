"""The first day with orders of a shop, and the share of an answer's window since then."""

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
